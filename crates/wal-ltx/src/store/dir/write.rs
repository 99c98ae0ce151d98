//! Files into a folder and out of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, UNIX_EPOCH};

use super::Dir;
use super::layout::Entry;
use super::read::digest;
use crate::store::{Body, Fence, LtxName, StoreError};

/// A file on its way under a name of its own; removed when it is dropped before it got another.
#[derive(Debug)]
struct Upload<'a> {
    dir: &'a Dir,
    id: String,
    path: PathBuf,
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        // Renamed when it is not there.
        std::fs::remove_file(&self.path).ok();
        let mut uploading = self.dir.uploading.lock().unwrap_or_else(PoisonError::into_inner);
        uploading.remove(&self.id);
    }
}

impl Dir {
    /// Creates what is not there of the folder.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        let (root, ltx) = (&self.layout.root, self.layout.ltx());
        let failed = |source| self.layout.failed("opening", root, source);
        if ltx.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(root).map_err(failed)?;
        // A lock, a fence may be there already: this may have been interrupted.
        let ours =
            [self.layout.lock(), self.layout.fence(), self.layout.fence_upload(), ltx.clone()];
        for file in std::fs::read_dir(root).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if !ours.contains(&path) {
                return Err(self.layout.foreign("it is not empty and has no ltx folder"));
            }
        }
        std::fs::create_dir_all(&ltx).map_err(failed)?;
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let what = || format!("making {}", root.display());
        self.sync(root, what)?;
        self.sync(parent, what)
    }

    /// Creates the object, or finds that it is there already.
    pub(super) fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: &Body,
    ) -> Result<(), StoreError> {
        let folder = self.layout.level(name.level);
        std::fs::create_dir_all(&folder)
            .map_err(|source| self.layout.failed("making", &folder, source))?;
        let (upload, mut content) = self.upload(name, timestamp_ms, body)?;
        let lock = self.lock()?;
        match self.open(name) {
            Ok((mut there, _)) => {
                let failed = |e| self.layout.failed("comparing", &self.layout.object(name), e);
                let same = digest(&mut there).map_err(failed)?
                    == digest(&mut content).map_err(failed)?
                    && self.epoch_of(name) == Some(fence.epoch);
                if same {
                    // It may be there without being durable: a put that was cut short.
                    return self.sync(&folder, || format!("storing {name}"));
                }
                self.check_fence(&lock, fence)?;
                return Err(StoreError::Exists { name });
            }
            Err(StoreError::NotFound { .. }) => self.check_fence(&lock, fence)?,
            Err(error) => return Err(error),
        }
        let (object, epoch) = (self.layout.object(name), self.layout.epoch(name));
        self.remove(&epoch)?;
        std::os::unix::fs::symlink(fence.epoch.to_string(), &epoch)
            .and_then(|()| std::fs::rename(&upload.path, &object))
            .map_err(|source| self.layout.failed("storing", &object, source))?;
        self.sync(&folder, || format!("storing {name}"))?;
        // The folder of a level may be new.
        self.sync(&self.layout.ltx(), || format!("storing {name}"))
    }

    /// The content under a name of its own, fsynced.
    fn upload(
        &self,
        name: LtxName,
        timestamp_ms: i64,
        body: &Body,
    ) -> Result<(Upload<'_>, File), StoreError> {
        let id = nuid::next().to_string();
        let path = self.layout.upload(name, &id);
        self.uploading.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        let upload = Upload { dir: self, id, path };
        let failed = |source| self.layout.failed("writing", &upload.path, source);
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&upload.path)
            .map_err(failed)?;
        match body {
            Body::Bytes(bytes) => file.write_all(bytes).map_err(failed)?,
            Body::File(from) => {
                let unreadable = |source| StoreError::File { path: from.clone(), source };
                let mut from = File::open(from).map_err(unreadable)?;
                io::copy(&mut from, &mut file).map_err(failed)?;
            }
        }
        let time = u64::try_from(timestamp_ms).unwrap_or(0);
        file.set_modified(UNIX_EPOCH + Duration::from_millis(time))
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        Ok((upload, file))
    }

    /// Removes the object; a reader that has it open reads on.
    pub(super) fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        let lock = self.lock()?;
        self.check_fence(&lock, fence)?;
        let object = self.layout.object(name);
        match std::fs::remove_file(&object) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(self.layout.failed("deleting", &object, source)),
        }
        self.remove(&self.layout.epoch(name))?;
        self.sync(&self.layout.level(name.level), || format!("deleting {name}"))
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(self.layout.failed("removing", path, e))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes files on their way that nobody writes any more, and what is said of objects that
    /// are not there.
    pub(super) fn sweep(&self, fence: Fence) -> Result<usize, StoreError> {
        let lock = self.lock()?;
        self.check_fence(&lock, fence)?;
        let entries = self.entries()?;
        let uploading = self.uploading.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let objects: BTreeSet<LtxName> = entries
            .iter()
            .filter_map(|(entry, _)| match entry {
                Entry::Object(name) => Some(*name),
                Entry::Epoch(..) | Entry::Upload(_) | Entry::Foreign => None,
            })
            .collect();
        let mut removed = 0;
        for (entry, file) in entries {
            let garbage = match entry {
                Entry::Upload(id) => !uploading.contains(&id),
                Entry::Epoch(of) => !objects.contains(&of),
                Entry::Object(_) | Entry::Foreign => false,
            };
            if garbage {
                self.remove(&file.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
