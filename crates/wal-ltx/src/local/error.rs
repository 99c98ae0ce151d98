//! What can go wrong with the files of this node.

use std::path::{Path, PathBuf};

use ccm_types::Txid;

/// Why an operation on the files of this node failed. Nothing is lost by any of them.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file operation failed.
    #[error("could not {doing} {path}")]
    Io {
        /// What was tried, to be read before the path.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The directory of a configured path is not there.
    #[error("the directory {path} does not exist: create it, or correct the path")]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory of a configured path cannot be written.
    #[error("the directory {path} is not writable: files are renamed in it")]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A configured path cannot be used.
    #[error("{path} cannot be used: {why}")]
    BadPath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Data and replica are on two file systems, between which nothing can be renamed.
    #[error("{data} and {replica} are on different file systems: put both on one")]
    FileSystems {
        /// The data file.
        data: PathBuf,
        /// The replica.
        replica: PathBuf,
    },
    /// Another process works with the files of this node.
    #[error("another process holds {path}: only one ccm may work on a node's files")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// A file that should be a database is none.
    #[error("{path} is not a SQLite database: it was left as it is")]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// A record in the state directory cannot be read.
    #[error("the record {path} is damaged: move it away if the files beside it are in order")]
    Record {
        /// The record.
        path: PathBuf,
        /// Why it cannot be read or written.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody still has the database open.
    #[error("the database {path} is in use: stop whatever has it open")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// SQLite failed.
    #[error("SQLite could not {doing} {path}")]
    Sqlite {
        /// What was tried, to be read before the path.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// The database stayed in another journal mode.
    #[error("{path} could not be put into WAL mode: SQLite left it in mode '{mode}'")]
    NotWal {
        /// The database.
        path: PathBuf,
        /// The mode it is in.
        mode: String,
    },
    /// There is no database where one is needed.
    #[error("there is no database at {path}")]
    NoData {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is no usable replica to serve.
    #[error("there is no usable replica at {path}: it must be brought up to the bucket first")]
    NoReplica {
        /// Where it should be.
        path: PathBuf,
    },
    /// The WAL still has content after a checkpoint, so the file alone is not the database.
    #[error("the checkpoint of {path} at transaction {txid} did not empty its WAL")]
    NotCheckpointed {
        /// The database.
        path: PathBuf,
        /// The transaction it was to end at.
        txid: Txid,
    },
    /// What was set aside before leaves no room for another file.
    #[error(
        "{path} would have to be set aside, and {count} files with {bytes} bytes were set aside \
         before, of at most {max}: look at them (`ccm diverged list`), then move them away or drop \
         them, or raise wal.divergedMaxBytes; nothing is deleted, and nothing is followed until \
         then"
    )]
    AsideFull {
        /// The file that would be set aside.
        path: PathBuf,
        /// How many were set aside before.
        count: usize,
        /// Their size in bytes.
        bytes: u64,
        /// What they may have, with this one.
        max: u64,
    },
    /// The owner of a file could not be changed.
    #[error("could not give {path} to user {uid}, group {gid}, who must be able to write it")]
    Owner {
        /// The file.
        path: PathBuf,
        /// The user that should own it.
        uid: u32,
        /// The group that should own it.
        gid: u32,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

impl LocalError {
    pub(crate) fn io(
        doing: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }

    pub(super) fn sqlite(
        doing: &'static str,
        path: &Path,
    ) -> impl FnOnce(rusqlite::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| {
            use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, NotADatabase};
            match source.sqlite_error_code() {
                Some(DatabaseBusy | DatabaseLocked) => Self::Busy { path },
                Some(NotADatabase) => Self::NotSqlite { path },
                Some(_) | None => Self::Sqlite { doing, path, source },
            }
        }
    }

    /// Worth trying again without a change: somebody may let go of the file.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::InUse { .. })
    }
}
