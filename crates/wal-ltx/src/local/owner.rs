//! Who owns what is served.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{LocalError, Paths, disk};

/// Permissions of a served file when there was none before: SQLite gives the same ones to the
/// `-wal` and `-shm` beside it.
const MODE: u32 = 0o640;

/// The bits of a mode that permissions are.
const MODE_BITS: u32 = 0o777;

/// Owner and permissions of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Owner {
    /// The owner of a file; `None` when it does not exist.
    pub(super) fn of(path: &Path) -> Result<Option<Self>, LocalError> {
        if !disk::exists(path)? {
            return Ok(None);
        }
        let metadata = fs::metadata(path).map_err(LocalError::io("look at", path))?;
        Ok(Some(Self::from(&metadata)))
    }

    /// Who is to own the served file: the configured owner, else that of the file it replaces,
    /// else that of the file served before (`remembered`), else that of the directory.
    pub(super) fn to_be(paths: &Paths, remembered: Option<Self>) -> Result<Self, LocalError> {
        let before = Self::of(&paths.data)?.or(remembered);
        let mode = before.map_or(MODE, |before| before.mode);
        if let Some((uid, gid)) = paths.owner {
            return Ok(Self { uid, gid, mode });
        }
        if let Some(before) = before {
            return Ok(before);
        }
        let dir = disk::parent(&paths.data);
        let metadata = fs::metadata(dir).map_err(LocalError::io("look at", dir))?;
        Ok(Self { uid: metadata.uid(), gid: metadata.gid(), mode })
    }

    /// Gives a file to this owner.
    pub(super) fn apply(self, path: &Path) -> Result<(), LocalError> {
        let looked = fs::metadata(path).map_err(LocalError::io("look at", path))?;
        if (looked.uid(), looked.gid()) != (self.uid, self.gid) {
            let Self { uid, gid, .. } = self;
            chown(path, Some(uid), Some(gid)).map_err(|source| LocalError::Owner {
                path: path.to_path_buf(),
                uid,
                gid,
                source,
            })?;
        }
        if looked.mode() & MODE_BITS != self.mode {
            fs::set_permissions(path, Permissions::from_mode(self.mode))
                .map_err(LocalError::io("set the permissions of", path))?;
        }
        Ok(())
    }
}

impl From<&Metadata> for Owner {
    fn from(metadata: &Metadata) -> Self {
        let mode = metadata.mode() & MODE_BITS;
        Self { uid: metadata.uid(), gid: metadata.gid(), mode }
    }
}
