//! The lock of a folder, and the fence in it.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ccm_types::{Epoch, NodeId};
use serde::{Deserialize, Serialize};

use super::Dir;
use crate::store::{Fence, FenceRecord, StoreError};

/// How long another process may have the lock: it has it for a look and a rename.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(2);

#[derive(Debug, Serialize, Deserialize)]
struct FenceJson {
    epoch: Epoch,
    node: NodeId,
    token: u64,
}

/// The lock; ends when it is dropped, or with the process.
#[derive(Debug)]
pub(super) struct Locked {
    _file: File,
}

impl Dir {
    /// Takes the lock that every writer takes.
    pub(super) fn lock(&self) -> Result<Locked, StoreError> {
        let path = self.layout.lock();
        let failed = |source| self.layout.failed("locking", &path, source);
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let file = options.map_err(failed)?;
        let deadline = Instant::now() + LOCK_WITHIN;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Locked { _file: file }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::park_timeout(TRY_EVERY);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(failed(ErrorKind::ResourceBusy.into()));
                }
            }
        }
    }

    /// The fence and its token.
    pub(super) fn read_fence(&self) -> Result<Option<(FenceRecord, u64)>, StoreError> {
        let path = self.layout.fence();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.layout.failed("reading", &path, source)),
        };
        let fence: FenceJson = serde_json::from_slice(&text)
            .map_err(|e| self.layout.foreign(format!("its fence cannot be read: {e}")))?;
        Ok(Some((FenceRecord { epoch: fence.epoch, node: fence.node }, fence.token)))
    }

    /// Whether this fence still stands; a matter of the lock.
    pub(super) fn check_fence(&self, _lock: &Locked, fence: Fence) -> Result<(), StoreError> {
        match self.read_fence()? {
            Some((_, token)) if token == fence.token => Ok(()),
            Some(_) | None => Err(StoreError::Fenced { ours: fence.epoch }),
        }
    }

    /// Moves the fence under the lock.
    pub(super) fn move_fence(&self, epoch: Epoch, node: NodeId) -> Result<Fence, StoreError> {
        let _lock = self.lock()?;
        let standing = self.read_fence()?;
        if standing.as_ref().is_some_and(|(record, _)| record.refuses(epoch, &node)) {
            return Err(StoreError::Fenced { ours: epoch });
        }
        // Beyond what a folder that was removed and made anew has given before.
        let token = standing.map_or(0, |(_, token)| token + 1).max(now_micros());
        let (path, upload) = (self.layout.fence(), self.layout.fence_upload());
        let json = FenceJson { epoch, node, token };
        let write = || {
            let mut file = File::create(&upload)?;
            file.write_all(&serde_json::to_vec(&json)?)?;
            file.sync_all()?;
            std::fs::rename(&upload, &path)
        };
        write().map_err(|source| self.layout.failed("writing", &path, source))?;
        self.sync(&self.layout.root, || format!("moving the fence to epoch {epoch}"))?;
        Ok(Fence { epoch, token })
    }

    /// Makes the names in a folder durable, after one of them has changed.
    pub(super) fn sync(
        &self,
        folder: &std::path::Path,
        what: impl Fn() -> String,
    ) -> Result<(), StoreError> {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| {
            tracing::debug!(%error, folder = %folder.display(), "could not be fsynced");
            StoreError::Ambiguous { what: what() }
        })
    }
}

fn now_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(1).max(1)
}
