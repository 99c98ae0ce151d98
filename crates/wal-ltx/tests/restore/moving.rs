//! A bucket that changes while it is read.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::restore::{RestoreOptions, restore};
use ccm_wal_ltx::store::{
    Body, Fence, FenceRecord, LtxInfo, LtxName, LtxStore, MemStore, StoreError,
};

use crate::source::{Bucket, Source, name};

/// Merges transactions 4 to 6 and removes the files they were in when 5 is asked for.
struct Compacting {
    bucket: Bucket,
    merged: Vec<u8>,
    done: AtomicBool,
}

impl LtxStore for Compacting {
    async fn fence(&self) -> Result<Option<FenceRecord>, StoreError> {
        self.store().fence().await
    }
    async fn move_fence(&self, epoch: Epoch, node: &NodeId) -> Result<Fence, StoreError> {
        self.store().move_fence(epoch, node).await
    }
    async fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        self.store().list().await
    }
    async fn get(&self, wanted: LtxName) -> Result<Bytes, StoreError> {
        if wanted == name(0, 5, 5) && !self.done.swap(true, Ordering::Relaxed) {
            let merged = Bytes::from(self.merged.clone());
            let (fence, name) = (self.bucket.fence, name(1, 4, 6));
            self.store().put(fence, name, 1_700_000_006_000, Body::Bytes(merged)).await?;
            for txid in 4..=6 {
                self.bucket.delete(0, txid, txid).await;
            }
        }
        self.store().get(wanted).await
    }
    async fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        self.store().get_to_file(name, path).await
    }
    async fn put(&self, f: Fence, n: LtxName, ms: i64, body: Body) -> Result<(), StoreError> {
        self.store().put(f, n, ms, body).await
    }
    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        self.store().delete(fence, name).await
    }
    async fn changed(&self, at_most: Duration) {
        self.store().changed(at_most).await;
    }
}

impl Compacting {
    fn store(&self) -> &MemStore {
        &self.bucket.store
    }
}

#[tokio::test]
async fn files_that_are_merged_meanwhile_are_found_again() {
    let mut source = Source::new(4096, 21);
    (0..7).for_each(|_| source.commit_random());
    let bucket = Bucket::new().await;
    for txid in 1..=8 {
        bucket.put(&source, 0, txid, txid).await;
    }
    let store = Compacting { bucket, merged: source.ltx(4, 6), done: AtomicBool::new(false) };
    let dir = tempfile::tempdir().unwrap();
    let options = RestoreOptions::new(dir.path().join("restored.db"));
    let restored = restore(&store, &options, |_| {}).await.unwrap();
    assert_eq!(restored.state.txid.get(), 8);
    assert!(std::fs::read(&options.output).unwrap() == source.latest());
}
