//! Whether there is room for a database before anything is downloaded.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::statvfs;

use super::RestoreError;
use crate::local::LocalError;

/// Bytes of a block as stat(2) counts them.
const BLOCK: u64 = 512;

/// Fails when the file system of a directory has fewer bytes free than are needed.
pub(crate) fn check(dir: &Path, needed: u64) -> Result<(), RestoreError> {
    let state = statvfs(dir).map_err(|e| LocalError::io("look at the room in", dir)(e.into()))?;
    // What is kept for root is not to be relied on.
    let available = state.f_bavail.saturating_mul(state.f_frsize);
    if available >= needed {
        return Ok(());
    }
    Err(RestoreError::NoRoom { dir: dir.to_path_buf(), needed, available })
}

/// What a restore needs beyond what it has: the database, and the largest object that goes through
/// a file of its own, each less what an earlier attempt has left of it.
pub(super) fn needed(database: u64, object: u64, (database_here, object_here): (u64, u64)) -> u64 {
    database.saturating_sub(database_here) + object.saturating_sub(object_here)
}

/// Bytes that a file takes on disk; 0 when there is none.
pub(super) fn taken(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.blocks() * BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_attempt_has_left_is_not_needed_again() {
        assert_eq!(needed(1000, 300, (0, 0)), 1300);
        assert_eq!(needed(1000, 300, (400, 100)), 800);
        assert_eq!(needed(1000, 0, (1000, 0)), 0);
        assert_eq!(needed(1000, 0, (4096, 50)), 0, "a file system may take more than asked");
    }

    #[test]
    fn only_what_was_written_counts_and_the_error_says_how_much_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("database");
        assert_eq!(taken(&file), 0);
        fs::write(&file, vec![1; 64 << 10]).unwrap();
        let written = taken(&file);
        assert!(written >= 64 << 10, "{written}");
        // A hole takes no room.
        fs::File::options().write(true).open(&file).unwrap().set_len(1 << 30).unwrap();
        assert!(taken(&file) < 1 << 20, "{}", taken(&file));
        check(dir.path(), 1).unwrap();
        let error = check(dir.path(), u64::MAX).unwrap_err();
        let RestoreError::NoRoom { needed, available, .. } = &error else { panic!("{error}") };
        assert!(*needed == u64::MAX && *available > 0);
        let words = error.to_string();
        assert!(words.contains(&needed.to_string()) && words.contains(&available.to_string()));
    }
}
