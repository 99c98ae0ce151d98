//! Why a database was not restored.

use std::path::PathBuf;
use std::time::Duration;

use ccm_types::Txid;

use crate::codec::LtxError;
use crate::local::LocalError;
use crate::plan::TargetError;
use crate::store::{LtxName, StoreError};

/// Why a database was not restored. There is nothing at the output then; what has been downloaded
/// and applied is kept beside it for the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store failed in a way that another attempt does not change.
    #[error(transparent)]
    Store(StoreError),
    /// The state that is wanted cannot be restored.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// There is something at the output.
    #[error("{path} exists: a restore never overwrites; move it away or choose another name")]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// What belongs to another database lies where the output's own would be.
    #[error("{path} is there and would be taken for a part of the restored database: move it away")]
    Remains {
        /// The file.
        path: PathBuf,
    },
    /// Another process restores to the same output.
    #[error("another restore works in {path}: wait until it has ended")]
    InUse {
        /// The work directory.
        path: PathBuf,
    },
    /// An object's content breaks the format or its checksum.
    #[error("the object {name} is damaged")]
    Damaged {
        /// The object.
        name: LtxName,
        /// What is wrong.
        #[source]
        source: LtxError,
    },
    /// An object is not what its name says, or does not follow what was applied before it.
    #[error("the object {name} does not fit: {why}")]
    Unfit {
        /// The object.
        name: LtxName,
        /// What does not fit.
        why: String,
    },
    /// Nothing came for too long.
    #[error("nothing has come from the bucket for {} s", within.as_secs())]
    Stalled {
        /// How long was waited.
        within: Duration,
        /// What was in the way last.
        #[source]
        source: StoreError,
    },
    /// The files were replaced faster than they could be read.
    #[error(
        "the files of the bucket were replaced {times} times while they were being read: try again"
    )]
    Moving {
        /// How often a plan was made.
        times: u32,
    },
    /// The result is not a database of the size that the files say.
    #[error("the files up to transaction {txid} do not make a database: {why}")]
    Malformed {
        /// The last transaction.
        txid: Txid,
        /// What is wrong.
        why: String,
    },
    /// SQLite finds the result damaged.
    #[error(
        "the database at transaction {txid} is damaged, as it was when it was shipped: {findings}; \
         it is kept in {kept}. An earlier state may be sound"
    )]
    Unsound {
        /// The last transaction.
        txid: Txid,
        /// What `PRAGMA quick_check` says first.
        findings: String,
        /// Where the result is.
        kept: PathBuf,
    },
    /// SQLite cannot check the result.
    #[error("SQLite could not check the restored database")]
    Uncheckable {
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// There is no room for the result.
    #[error(
        "{needed} bytes are needed in {dir} and {available} are free: make room there, or restore \
         to another file system"
    )]
    NoRoom {
        /// The work directory.
        dir: PathBuf,
        /// Bytes that are needed beyond what is there already.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// A local file could not be read or written.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The program is ending.
    #[error("the restore was interrupted")]
    Interrupted,
}

impl RestoreError {
    /// Worth trying again without a change: NATS may answer, the bucket may come to rest.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stalled { .. }
            | Self::Moving { .. }
            | Self::InUse { .. }
            | Self::NoRoom { .. }
            | Self::Interrupted
            | Self::Target(TargetError::Empty) => true,
            Self::Store(error) => error.is_transient(),
            Self::Local(error) => error.is_transient(),
            Self::Target(_)
            | Self::Exists { .. }
            | Self::Remains { .. }
            | Self::Damaged { .. }
            | Self::Unfit { .. }
            | Self::Malformed { .. }
            | Self::Unsound { .. }
            | Self::Uncheckable { .. } => false,
        }
    }

    /// NATS could not be reached for too long.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Stalled { .. })
            || matches!(self, Self::Store(error) if error.is_transient())
    }

    /// Something in the bucket is damaged.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Unfit { .. }
                | Self::Malformed { .. }
                | Self::Unsound { .. }
                | Self::Store(StoreError::Damaged { .. })
                | Self::Target(TargetError::Hole(_))
        )
    }

    /// The object was there when the bucket was listed and is not any more.
    pub(crate) fn is_vanished(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound { .. }))
    }
}
