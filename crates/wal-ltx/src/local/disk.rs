//! The few file operations that everything here is made of, durable where they say so.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LocalError;

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
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(LocalError::io("remove", path)(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Renames a file, replacing what has the name; durable after [`sync_dir`].
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), LocalError> {
    fs::rename(from, to).map_err(LocalError::io("rename", from))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LocalError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(LocalError::io("sync the directory", dir))
}

/// Reads a JSON record; `None` when it does not exist.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LocalError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LocalError::io("read", path)(source)),
    };
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
    let bytes = serde_json::to_vec(record).map_err(damaged)?;
    let temporary = with_suffix(path, ".tmp");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    write().map_err(LocalError::io("write", &temporary))?;
    rename(&temporary, path)?;
    sync_dir(parent(path))
}
