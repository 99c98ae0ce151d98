//! Files that were set aside, for the operator: listed and removed without taking the files of the
//! node. A name that was given once is never given to another file.

use std::path::Path;

use super::{Diverged, LocalError, disk, resolve, retire};

/// The data files that were set aside beside this one and are still there. A daemon may run.
///
/// # Errors
/// [`LocalError::NoDirectory`], [`LocalError::BadPath`], [`LocalError::Io`].
pub fn diverged(data: &Path) -> Result<Vec<Diverged>, LocalError> {
    retire::beside(&resolve(data)?)
}

impl Diverged {
    /// Removes the file and what belongs to it, durably.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub fn remove(&self) -> Result<(), LocalError> {
        // The database last: while it is there, what is left is still listed.
        for suffix in ["-shm", "-wal", "-journal", ""] {
            disk::remove(&disk::with_suffix(&self.path, suffix))?;
        }
        disk::sync_dir(disk::parent(&self.path))
    }
}
