//! The object store in a folder, laid out as Litestream's file replica: `ltx/<level>/<name>.ltx`.
//!
//! A file is written under a name of its own, fsynced, and gets its name by a rename under a lock
//! (flock) on `ccm-lock`, after a look at the fence in `ccm-fence`; then the folder is fsynced.
//! So a crash leaves the whole object or none, and a writer that knows of the lock cannot come
//! after a fence. A symbolic link beside a file (`<name>.ltx.epoch`), which comes into being with
//! its text in one step, says the epoch that wrote it. The commit time of a file is its
//! modification time, as Litestream has it.
//!
//! What a folder cannot do, and a NATS server can:
//!
//! - The lock is advisory and ends with its holder's process. A holder that is stopped (SIGSTOP, a
//!   frozen virtual machine) holds it on, and nobody can move the fence until it goes on.
//! - On a network file system the lock is as good as that system. One that takes a lock from a
//!   client it has not heard of (NFSv4 leases) lets a holder that comes back finish the rename
//!   that it had checked before: the fence then holds for every later write, not for that one.
//! - A stock Litestream that writes here asks nobody.
//! - There is no digest. An LTX file has a checksum of its own, which every reader here verifies.

mod layout;
mod lock;
mod read;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ccm_types::{Epoch, NodeId};
use tokio::time::Instant;

use super::{Body, Fence, FenceRecord, LtxInfo, LtxName, LtxStore, Mark, Piece, StoreError};
use layout::Layout;

/// Between two looks for a change.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An LTX object store in a folder.
///
/// Clones share what is known of uploads under way; each has its own view of what
/// [`LtxStore::changed`] has told. Every call runs on the blocking threads of the runtime and
/// waits for the lock for five seconds at most; how long the file system takes is its own affair.
#[derive(Debug)]
pub struct DirStore {
    dir: Arc<Dir>,
    /// When each level and the fence had changed, as last told; `None` before the first call.
    told: Mutex<Option<Vec<Option<SystemTime>>>>,
}

/// The folder as this process sees it.
#[derive(Debug)]
struct Dir {
    layout: Layout,
    /// Ids of files whose object may still come to be.
    uploading: Mutex<BTreeSet<String>>,
}

impl DirStore {
    /// Opens the folder, and creates it with its parents when it is not there.
    ///
    /// # Errors
    /// [`StoreError::ForeignBucket`]: it is not empty and has no `ltx` in it.
    /// [`StoreError::Unavailable`]: it cannot be read or made.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let layout = Layout::new(path.into());
        let dir = Arc::new(Dir { layout, uploading: Mutex::default() });
        let store = Self { dir, told: Mutex::new(None) };
        store.run(Dir::prepare).await?;
        Ok(store)
    }

    /// Whether this is something else than what was told last.
    fn tell(&self, stamps: Vec<Option<SystemTime>>) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.replace(stamps.clone()) != Some(stamps)
    }

    /// Runs `work`, which blocks, to its end, also when nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Dir) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let dir = Arc::clone(&self.dir);
        match tokio::task::spawn_blocking(move || work(&dir)).await {
            Ok(done) => done,
            Err(error) => {
                let what = format!("work in {}", self.dir.layout.root.display());
                Err(StoreError::Unavailable { what, source: error.into() })
            }
        }
    }
}

impl Clone for DirStore {
    fn clone(&self) -> Self {
        Self { dir: Arc::clone(&self.dir), told: Mutex::new(None) }
    }
}

impl LtxStore for DirStore {
    async fn fence(&self) -> Result<Option<FenceRecord>, StoreError> {
        self.run(|dir| Ok(dir.read_fence()?.map(|(record, _)| record))).await
    }

    async fn move_fence(&self, epoch: Epoch, node: &NodeId) -> Result<Fence, StoreError> {
        let node = node.clone();
        self.run(move |dir| dir.move_fence(epoch, node)).await
    }

    async fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        self.run(Dir::list).await
    }

    async fn get(&self, name: LtxName) -> Result<Bytes, StoreError> {
        self.run(move |dir| dir.get(name)).await
    }

    async fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        let path = path.to_path_buf();
        self.run(move |dir| dir.get_to_file(name, &path)).await
    }

    async fn piece(&self, name: LtxName, from: Option<&Mark>) -> Result<Piece, StoreError> {
        let from = from.cloned();
        self.run(move |dir| dir.piece(name, from)).await
    }

    async fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> Result<(), StoreError> {
        self.run(move |dir| dir.put(fence, name, timestamp_ms, &body)).await
    }

    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        self.run(move |dir| dir.delete(fence, name)).await
    }

    async fn sweep(&self, fence: Fence) -> Result<usize, StoreError> {
        self.run(move |dir| dir.sweep(fence)).await
    }

    async fn changed(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        loop {
            let now = self.run(|dir| Ok(dir.stamps())).await.unwrap_or_default();
            if self.tell(now) || Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_EVERY)).await;
        }
    }
}
