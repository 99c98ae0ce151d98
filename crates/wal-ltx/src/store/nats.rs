//! The object store on NATS JetStream, in the layout that Litestream and every NATS object
//! store client use.

mod api;
mod fence;
mod get;
mod layout;
mod list;
mod open;
mod piece;
mod put;
mod sweep;
mod uploads;
mod watch;
mod written;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId};
use tokio::sync::Semaphore;

use super::{Body, Fence, FenceRecord, LtxInfo, LtxName, LtxStore, Mark, Piece, StoreError};
use api::Api;
use fence::FenceMoved;
use layout::Layout;
pub(crate) use layout::digest_text;
use list::Listing;
use uploads::Uploads;
use watch::WatchSlot;
use written::Written;

/// Which bucket, and how to create it.
#[derive(Debug, Clone)]
pub struct NatsStoreConfig {
    /// The object store bucket, `convex-{c}-wal`.
    pub bucket: String,
    /// Replicas of the stream when it is created.
    pub replicas: usize,
    /// Create the bucket when it does not exist.
    pub create: bool,
    /// How long one answer of the server may take.
    pub timeout: Duration,
    /// Age at which the server removes messages, when the bucket is created. Snapshots must be
    /// written more often than this, or the server removes the only one; the fence stays.
    pub max_age: Option<Duration>,
}

impl NatsStoreConfig {
    /// The bucket as it is, or a new one with one replica that keeps everything; the server may
    /// take five seconds to answer.
    #[must_use]
    pub fn new(bucket: String) -> Self {
        let timeout = Duration::from_secs(5);
        Self { bucket, replicas: 1, create: true, timeout, max_age: None }
    }
}

/// An LTX object store in a NATS bucket.
///
/// Clones share the connection and what is known of the bucket; each has its own view of what
/// [`LtxStore::changed`] has told.
#[derive(Debug)]
pub struct NatsStore {
    bucket: Arc<Bucket>,
    watch: WatchSlot,
}

/// The bucket as this node sees it.
#[derive(Debug)]
struct Bucket {
    api: Api,
    layout: Layout,
    /// Bytes per chunk.
    chunk_len: usize,
    /// The bucket removes old messages, and the fence must not be one of them.
    never_expires: bool,
    /// One guarded publish at a time.
    guarded: Semaphore,
    /// One of them at most waits or is under way for something that nobody waits for.
    background: Semaphore,
    /// The stream sequence of the last write of this node.
    written: Written,
    listing: Mutex<Option<Arc<Listing>>>,
    /// The last move of the fence by this node.
    fence_moved: Mutex<Option<FenceMoved>>,
    uploads: Uploads,
}

impl NatsStore {
    /// Opens the bucket, and creates it if the configuration says so.
    ///
    /// # Errors
    /// [`StoreError::ServerTooOld`], [`StoreError::ForeignBucket`] (also when it does not exist
    /// and is not to be created), [`StoreError::Unavailable`].
    pub async fn open(
        client: async_nats::Client,
        config: NatsStoreConfig,
    ) -> Result<Self, StoreError> {
        let bucket = Arc::new(Bucket::open(client, config).await?);
        Ok(Self { bucket, watch: WatchSlot::default() })
    }
}

impl Clone for NatsStore {
    fn clone(&self) -> Self {
        Self { bucket: Arc::clone(&self.bucket), watch: WatchSlot::default() }
    }
}

impl LtxStore for NatsStore {
    async fn fence(&self) -> Result<Option<FenceRecord>, StoreError> {
        Ok(self.bucket.read_fence().await?.map(|(record, _)| record))
    }

    async fn move_fence(&self, epoch: Epoch, node: &NodeId) -> Result<Fence, StoreError> {
        self.bucket.move_fence(epoch, node).await
    }

    async fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        self.bucket.list().await
    }

    async fn get(&self, name: LtxName) -> Result<Bytes, StoreError> {
        self.bucket.get(name).await
    }

    async fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        self.bucket.get_to_file(name, path).await
    }

    async fn piece(&self, name: LtxName, from: Option<&Mark>) -> Result<Piece, StoreError> {
        self.bucket.piece(name, from).await
    }

    async fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> Result<(), StoreError> {
        self.bucket.put(fence, name, timestamp_ms, body).await
    }

    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        self.bucket.delete(fence, name).await
    }

    async fn sweep(&self, fence: Fence) -> Result<usize, StoreError> {
        self.bucket.sweep(fence).await
    }

    fn losses(&self) -> u64 {
        self.bucket.written.losses()
    }

    async fn changed(&self, at_most: Duration) {
        self.bucket.changed(&self.watch, at_most).await;
    }
}
