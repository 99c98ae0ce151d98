//! The few file operations that everything here is made of, durable where they say so.
//!
//! What changes the disk asks [`permit`] first, which tests answer: they write down what was done,
//! make it fail, and build what a power loss may leave of it.

#[cfg(test)]
pub(crate) mod power_loss;
#[cfg(test)]
pub(crate) mod trace;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LocalError;

/// Permissions of a record, less what the umask takes.
pub(super) const RECORD_MODE: u32 = 0o666;

/// A change of the disk.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests read what is in it"))]
pub(crate) enum Op<'a> {
    /// An empty file under this name.
    Create { path: &'a Path },
    /// Bytes in a file.
    Write { path: &'a Path, at: u64, bytes: &'a [u8] },
    /// The length of a file.
    SetLen { path: &'a Path, len: u64 },
    /// The content of a file becomes durable.
    Sync { path: &'a Path },
    /// A name for another one.
    Rename { from: &'a Path, to: &'a Path },
    /// A name less.
    Remove { path: &'a Path },
    /// The names in a directory become durable.
    SyncDir { dir: &'a Path },
}

/// Whether the system is asked to do it: always, but in tests.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "fails in tests")]
fn permit(_op: Op<'_>) -> std::io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
use trace::permit;

/// A file that is written to in place.
#[derive(Debug)]
pub(crate) struct Writable {
    file: File,
    path: PathBuf,
}

impl Writable {
    /// Opens a file that exists.
    pub(crate) fn open(path: &Path) -> Result<Self, LocalError> {
        let file = File::options().write(true).open(path).map_err(LocalError::io("open", path))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Makes an empty file with these permissions, or empties one.
    pub(crate) fn create(path: &Path, mode: u32) -> Result<Self, LocalError> {
        let create = || {
            permit(Op::Create { path })?;
            File::options().write(true).create(true).truncate(true).mode(mode).open(path)
        };
        let file = create().map_err(LocalError::io("create", path))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), LocalError> {
        let path = &self.path;
        let write = || {
            permit(Op::Write { path, at, bytes })?;
            self.file.write_all_at(bytes, at)
        };
        write().map_err(LocalError::io("write", path))
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<(), LocalError> {
        let path = &self.path;
        let set_len = || {
            permit(Op::SetLen { path, len })?;
            self.file.set_len(len)
        };
        set_len().map_err(LocalError::io("write", path))
    }

    /// Makes the content and the length durable, and nothing else that is known of the file: where
    /// both are on the disk already, the file system's journal is not waited for.
    pub(crate) fn sync_data(&self) -> Result<(), LocalError> {
        let path = &self.path;
        let sync = || if permit(Op::Sync { path })? { self.file.sync_data() } else { Ok(()) };
        sync().map_err(LocalError::io("sync", path))
    }

    /// Whether this is still the file of its name.
    pub(crate) fn is_named(&self) -> Result<bool, LocalError> {
        let failed = |e| LocalError::io("look at", &self.path)(e);
        let own = self.file.metadata().map_err(failed)?;
        match fs::metadata(&self.path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(failed(e)),
        }
    }

    /// Makes the content durable; the name is after [`sync_dir`].
    pub(crate) fn sync(&self) -> Result<(), LocalError> {
        let path = &self.path;
        let sync = || if permit(Op::Sync { path })? { self.file.sync_all() } else { Ok(()) };
        sync().map_err(LocalError::io("sync", path))
    }
}

/// The directory a file is in; the working directory for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    }
}

/// The path with something added to its name: `data.db` and `-wal` give `data.db-wal`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether something has this name.
pub(crate) fn exists(path: &Path) -> Result<bool, LocalError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(LocalError::io("look at", path)(source)),
    }
}

/// The length of a file in bytes; `None` when it does not exist.
pub(crate) fn len(path: &Path) -> Result<Option<u64>, LocalError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LocalError::io("look at", path)(source)),
    }
}

/// Removes a file if it exists; durable after [`sync_dir`].
pub(crate) fn remove(path: &Path) -> Result<(), LocalError> {
    let remove = || {
        permit(Op::Remove { path })?;
        fs::remove_file(path)
    };
    match remove() {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(LocalError::io("remove", path)(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Renames a file, replacing what has the name; durable after [`sync_dir`].
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), LocalError> {
    let rename = || {
        permit(Op::Rename { from, to })?;
        fs::rename(from, to)
    };
    rename().map_err(LocalError::io("rename", from))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LocalError> {
    let sync = || if permit(Op::SyncDir { dir })? { File::open(dir)?.sync_all() } else { Ok(()) };
    sync().map_err(LocalError::io("sync the directory", dir))
}

/// Reads a small file; `None` when it does not exist.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, LocalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LocalError::io("read", path)(source)),
    }
}

/// Reads a JSON record; `None` when it does not exist.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LocalError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let damaged = |source| LocalError::Record { path: path.to_path_buf(), source };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Replaces a JSON record in one step; a power loss may leave the old one, or none.
pub(crate) fn replace_record<T: Serialize>(path: &Path, record: &T) -> Result<(), LocalError> {
    let damaged = |source| LocalError::Record { path: path.to_path_buf(), source };
    let bytes = serde_json::to_vec(record).map_err(damaged)?;
    let temporary = with_suffix(path, ".tmp");
    fs::write(&temporary, bytes).map_err(LocalError::io("write", &temporary))?;
    rename(&temporary, path)
}

/// Replaces a JSON record in one step; durable when it returns.
pub(crate) fn write_record<T: Serialize>(path: &Path, record: &T) -> Result<(), LocalError> {
    let damaged = |source| LocalError::Record { path: path.to_path_buf(), source };
    replace(path, &serde_json::to_vec(record).map_err(damaged)?)
}

/// Replaces a small file in one step; durable when it returns.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), LocalError> {
    let temporary = with_suffix(path, ".tmp");
    let file = Writable::create(&temporary, RECORD_MODE)?;
    file.write_at(content, 0)?;
    file.sync()?;
    rename(&temporary, path)?;
    sync_dir(parent(path))
}
