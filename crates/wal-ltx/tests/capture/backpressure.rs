//! An application that commits faster than the bucket takes it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::store::{
    Body, Fence, FenceRecord, LtxInfo, LtxName, LtxStore, MemStore, StoreError,
};

use crate::bench::{Bench, WITHIN, joined};

/// Bytes that a [`Slow`] store takes in a second.
const RATE: f64 = 40e6;

/// A store that takes so much in a second and no more.
#[derive(Debug, Clone)]
struct Slow(MemStore);

impl LtxStore for Slow {
    async fn fence(&self) -> Result<Option<FenceRecord>, StoreError> {
        self.0.fence().await
    }

    async fn move_fence(&self, epoch: Epoch, node: &NodeId) -> Result<Fence, StoreError> {
        self.0.move_fence(epoch, node).await
    }

    async fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        self.0.list().await
    }

    async fn get(&self, name: LtxName) -> Result<Bytes, StoreError> {
        self.0.get(name).await
    }

    async fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        self.0.get_to_file(name, path).await
    }

    async fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> Result<(), StoreError> {
        let bytes = match &body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(path) => std::fs::metadata(path).unwrap().len(),
        };
        let bytes = f64::from(u32::try_from(bytes).unwrap());
        tokio::time::sleep(Duration::from_secs_f64(bytes / RATE)).await;
        self.0.put(fence, name, timestamp_ms, body).await
    }

    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        self.0.delete(fence, name).await
    }

    async fn changed(&self, at_most: Duration) {
        self.0.changed(at_most).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_held_back_to_what_the_bucket_takes_and_nothing_is_lost() {
    const BACKLOG: u64 = 32 << 20;
    let bench = Bench::new().await;
    bench.application();
    let config = CaptureConfig { backlog_max: BACKLOG, ..bench.config() };
    let mut capture = Capture::start(Slow(bench.store.clone()), bench.fence, config).await.unwrap();
    let mut progress = capture.progress();
    let path = bench.data();
    let writer = std::thread::spawn(move || {
        let application = crate::bench::application(&path);
        for _ in 0..1500 {
            application.execute("INSERT INTO t(v) VALUES (randomblob(100000))", []).unwrap();
        }
    });
    let mut most = 0;
    let mut held_back = false;
    while !writer.is_finished() {
        let seen = progress.borrow_and_update().clone();
        assert!(seen.ended.is_none(), "{:?}", seen.ended);
        most = most.max(seen.unshipped_bytes);
        held_back |= seen.holds_back;
        // It may have finished with nothing more to be told.
        tokio::time::timeout(Duration::from_millis(50), progress.changed()).await.ok();
    }
    joined(vec![writer]).await;
    assert!(held_back, "an application that is faster than the bucket was never held back");
    assert!(most < 3 * BACKLOG, "{most} bytes waited for the bucket");
    capture.flush(WITHIN).await.unwrap();
    assert!(!progress.borrow().held_back.is_zero());
    bench.check().await;
}
