//! Whether a bucket is what it should be, and whether a replica is what the bucket leads to.
//!
//! [`objects`] reads every object to its end: digest, header, pages, index, checksum, and that
//! they are what the name says. [`crate::plan::audit`] looks at the whole. [`replica`] restores
//! the state at which a replica is and compares it page by page; [`newest`] restores the newest one
//! and has SQLite check it, where there is no replica; [`diverged`] says what a data
//! file that was set aside has that the bucket does not have.
//!
//! Only reads the bucket and the files of the node; what is restored for a comparison lies in a
//! directory of its own, which is removed at the end. A daemon may run.

mod bucket;
mod diverged;
mod object;
mod replica;
mod scan;

use std::path::PathBuf;
use std::time::Duration;

use ccm_types::{Position, Txid};

pub use bucket::{Led, newest};
pub use diverged::{Difference, TableDifference, diverged};
pub use object::{Contents, contents, objects};
pub use replica::{Compared, replica};

use crate::local::LocalError;
use crate::plan::Restorable;
use crate::restore::RestoreError;

/// Nothing has come for so long: an election of NATS and a reconnect take less.
const STALL: Duration = Duration::from_secs(60);

/// How a comparison is made.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Where the restored database is made: a directory that this makes and removes. It takes as
    /// much room as the database.
    pub dir: PathBuf,
    /// Have SQLite check the restored database (`PRAGMA quick_check`).
    pub check: bool,
    /// Give up when nothing has come from the bucket for so long.
    pub stall: Duration,
}

impl VerifyOptions {
    /// Checked; gives up after a minute without a byte.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, check: true, stall: STALL }
    }
}

/// Why a comparison was not made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The state to compare with could not be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The files of this node could not be read.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// There is no replica.
    #[error("there is no replica at {path}")]
    NoReplica {
        /// Where it should be.
        path: PathBuf,
    },
    /// The replica is between two states.
    #[error(
        "the replica at {path} is between two states, from transaction {from} on: start the \
         daemon, which repairs it"
    )]
    Torn {
        /// The replica.
        path: PathBuf,
        /// The state before.
        from: Txid,
    },
    /// The bucket ends before the replica does.
    #[error(
        "the replica is at {at} and the bucket ends at transaction {}: the bucket has lost data",
        tip.txid
    )]
    Ahead {
        /// Where the replica is.
        at: Position,
        /// The last state of the bucket.
        tip: Restorable,
    },
    /// The replica changed all the time.
    #[error("the replica changed {times} times while it was compared: try again")]
    Moving {
        /// How often it was looked at.
        times: u32,
    },
    /// SQLite could not read a database.
    #[error("SQLite could not read {path}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
}

impl VerifyError {
    /// Worth trying again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Restore(error) => error.is_transient(),
            Self::Local(error) => error.is_transient(),
            Self::Moving { .. } | Self::NoReplica { .. } | Self::Torn { .. } => true,
            Self::Ahead { .. } | Self::Sqlite { .. } => false,
        }
    }

    /// NATS could not be reached for too long.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Restore(error) if error.is_unreachable())
    }
}
