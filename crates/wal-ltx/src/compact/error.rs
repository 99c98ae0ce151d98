//! Why a pass over the bucket did not get through.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::MergeError;
use crate::store::{LtxName, StoreError};

/// Why a pass over the bucket did not get through. What it has done stays.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the bucket breaks the format or its checksum.
    #[error("{name} in the bucket is damaged, and what it holds cannot be compacted")]
    Damaged {
        /// The file.
        name: LtxName,
        /// What is wrong.
        #[source]
        source: MergeError,
    },
    /// Files of the bucket could not be merged.
    #[error("could not make {name}")]
    Merge {
        /// What was to be made.
        name: LtxName,
        /// Which input is wrong, and how.
        #[source]
        source: MergeError,
    },
    /// The merged file is not what its name says: its inputs are not what theirs say.
    #[error(
        "{name} would hold other transactions than its name says: a file of the level below \
             does not fit its name"
    )]
    Unfit {
        /// What was to be made.
        name: LtxName,
    },
    /// A file in the spool could not be read or written.
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
    /// The program is ending.
    #[error("compaction was interrupted")]
    Interrupted,
}

/// What [`CompactError`] a failure of the system is, on which file.
pub(super) fn file(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> CompactError + use<> {
    let path = path.to_path_buf();
    move |source| CompactError::File { doing, path, source }
}

impl CompactError {
    /// A newer epoch owns the bucket.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        match self {
            Self::Store(error) => error.is_fenced(),
            Self::Damaged { .. }
            | Self::Merge { .. }
            | Self::Unfit { .. }
            | Self::File { .. }
            | Self::Interrupted => false,
        }
    }

    /// The file of the bucket that is damaged, if that is what it is.
    #[must_use]
    pub fn damaged(&self) -> Option<LtxName> {
        match self {
            Self::Damaged { name, .. } | Self::Store(StoreError::Damaged { name, .. }) => {
                Some(*name)
            }
            Self::Store(_)
            | Self::Merge { .. }
            | Self::Unfit { .. }
            | Self::File { .. }
            | Self::Interrupted => None,
        }
    }

    /// Worth trying again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            // The spool's disk may be full now.
            Self::File { .. } => true,
            Self::Damaged { .. } | Self::Merge { .. } | Self::Unfit { .. } | Self::Interrupted => {
                false
            }
        }
    }

    /// The error and its causes in one line.
    pub(super) fn in_words(&self) -> String {
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            words.push_str(": ");
            words.push_str(&error.to_string());
            cause = error.source();
        }
        words
    }
}
