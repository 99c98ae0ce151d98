//! An object store in memory with the same fence: for tests and simulations.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::{
    Body, Fence, FenceRecord, LtxInfo, LtxName, LtxStore, Mark, Piece, StoreError, digest_text,
};

/// Bytes in a piece.
const PIECE_LEN: usize = 64 * 1024;

/// Clones share their content; each clone has its own view of what [`LtxStore::changed`] has
/// told.
#[derive(Debug, Default)]
pub struct MemStore {
    shared: Arc<Shared>,
    /// The change after the last one that `changed` reported; 0 before the first call.
    reported: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    change: Notify,
}

#[derive(Debug, Default)]
struct State {
    fence: Option<(FenceRecord, u64)>,
    objects: BTreeMap<LtxName, (LtxInfo, Bytes)>,
    /// Counts writes; plays the part of the stream sequence.
    sequence: u64,
}

impl Clone for MemStore {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), reported: AtomicU64::new(0) }
    }
}

impl MemStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrote(&self, state: &mut State) -> u64 {
        state.sequence += 1;
        self.shared.change.notify_waiters();
        state.sequence
    }

    /// Whether the bucket has changed since the last answer `true`; the first one is always.
    fn take_change(&self) -> bool {
        let next = self.state().sequence + 1;
        self.reported.swap(next, Ordering::Relaxed) != next
    }
}

fn check_fence(state: &State, fence: Fence) -> Result<(), StoreError> {
    match &state.fence {
        Some((_, token)) if *token == fence.token => Ok(()),
        Some(_) | None => Err(StoreError::Fenced { ours: fence.epoch }),
    }
}

async fn read(body: Body) -> Result<Bytes, StoreError> {
    match body {
        Body::Bytes(bytes) => Ok(bytes),
        Body::File(path) => match tokio::fs::read(&path).await {
            Ok(content) => Ok(Bytes::from(content)),
            Err(source) => Err(StoreError::File { path, source }),
        },
    }
}

impl LtxStore for MemStore {
    async fn fence(&self) -> Result<Option<FenceRecord>, StoreError> {
        Ok(self.state().fence.as_ref().map(|(record, _)| record.clone()))
    }

    async fn move_fence(&self, epoch: Epoch, node: &NodeId) -> Result<Fence, StoreError> {
        let mut state = self.state();
        if let Some((record, _)) = &state.fence
            && record.refuses(epoch, node)
        {
            return Err(StoreError::Fenced { ours: epoch });
        }
        let token = self.wrote(&mut state);
        state.fence = Some((FenceRecord { epoch, node: node.clone() }, token));
        Ok(Fence { epoch, token })
    }

    async fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        Ok(self.state().objects.values().map(|(info, _)| info.clone()).collect())
    }

    async fn get(&self, name: LtxName) -> Result<Bytes, StoreError> {
        let state = self.state();
        let found = state.objects.get(&name).map(|(_, content)| content.clone());
        found.ok_or(StoreError::NotFound { name })
    }

    async fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        let content = self.get(name).await?;
        let write = async {
            tokio::fs::write(path, &content).await?;
            tokio::fs::File::open(path).await?.sync_all().await
        };
        let refuse = |source| StoreError::File { path: path.to_path_buf(), source };
        write.await.map_err(refuse)
    }

    async fn piece(&self, name: LtxName, from: Option<&Mark>) -> Result<Piece, StoreError> {
        let content = self.get(name).await?;
        let digest = digest_text(Sha256::new_with_prefix(&content));
        let mark = from.filter(|mark| mark.content == digest).cloned();
        let mark = mark.unwrap_or_else(|| Mark::begin(&digest));
        let begin = usize::try_from(mark.offset).unwrap_or(usize::MAX).min(content.len());
        let end = content.len().min(begin + PIECE_LEN);
        let next = Mark { offset: end as u64, ..mark.clone() };
        let last = (end == content.len()).then_some(digest);
        Ok(Piece { offset: mark.offset, chunks: vec![content.slice(begin..end)], next, last })
    }

    async fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> Result<(), StoreError> {
        let content = read(body).await?;
        let mut state = self.state();
        let size = content.len() as u64;
        let info = LtxInfo { name, size, timestamp_ms, epoch: Some(fence.epoch) };
        let there = state.objects.get(&name);
        if there.is_some_and(|(there, bytes)| there.epoch == info.epoch && *bytes == content) {
            return Ok(());
        }
        check_fence(&state, fence)?;
        if there.is_some() {
            return Err(StoreError::Exists { name });
        }
        state.objects.insert(name, (info, content));
        self.wrote(&mut state);
        Ok(())
    }

    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        let mut state = self.state();
        check_fence(&state, fence)?;
        if state.objects.remove(&name).is_some() {
            self.wrote(&mut state);
        }
        Ok(())
    }

    async fn changed(&self, at_most: Duration) {
        let wait = async {
            loop {
                let change = self.shared.change.notified();
                tokio::pin!(change);
                change.as_mut().enable();
                if self.take_change() {
                    return;
                }
                change.await;
            }
        };
        // Elapsed is the answer "nothing has changed, look anyway".
        tokio::time::timeout(at_most, wait).await.ok();
    }
}
