//! Why a capture could not begin or finish.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CaptureEnd;
use crate::codec::LtxError;
use crate::store::StoreError;

/// Why capture could not begin or finish.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// SQLite failed on the data file.
    #[error("could not {doing} {path}")]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// The data file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// A file could not be read or written.
    #[error("could not {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// An LTX file could not be made or read.
    #[error("could not make the next LTX file")]
    Ltx(#[from] LtxError),
    /// Somebody keeps the database busy.
    #[error("{path} is busy: an application holds it longer than {within:?}")]
    Busy {
        /// The data file.
        path: PathBuf,
        /// How long was waited.
        within: Duration,
    },
    /// The final flush is not done yet; it goes on and can be waited for again.
    #[error("the final flush has not reached NATS within {within:?}")]
    Unfinished {
        /// How long was waited.
        within: Duration,
    },
    /// A snapshot is not in the bucket.
    #[error("the snapshot was not made: {why}")]
    Snapshot {
        /// In words.
        why: String,
    },
    /// Capture has ended by itself.
    #[error("capture has ended: {}", .0.why)]
    Ended(CaptureEnd),
}

/// What [`CaptureError`] a failure of the system is, on which file.
pub(super) fn file(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> CaptureError + use<> {
    let path = path.to_path_buf();
    move |source| CaptureError::File { doing, path, source }
}

/// An error and its causes in one line.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

impl CaptureError {
    /// Worth trying again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Busy { .. } | Self::Unfinished { .. } | Self::Snapshot { .. } => true,
            Self::Sqlite { .. } | Self::File { .. } | Self::Ltx(_) | Self::Ended(_) => false,
        }
    }

    /// A newer epoch owns the bucket.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        match self {
            Self::Store(error) => error.is_fenced(),
            Self::Ended(end) => end.fenced,
            Self::Sqlite { .. }
            | Self::File { .. }
            | Self::Ltx(_)
            | Self::Busy { .. }
            | Self::Unfinished { .. }
            | Self::Snapshot { .. } => false,
        }
    }
}
