//! A process that dies between any two operations of a pass.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::compact::pass;
use ccm_wal_ltx::store::{
    Body, Fence, FenceRecord, Level, LtxInfo, LtxName, LtxStore, MemStore, StoreError,
};

use crate::bench::{Bench, check, config, put};
use crate::source::{Passive, Source, name, node, timestamp};

/// A store that is there for so many writes.
struct Mortal<S> {
    store: S,
    writes: AtomicI64,
}

impl<S> Mortal<S> {
    fn new(store: S, writes: i64) -> Self {
        Self { store, writes: AtomicI64::new(writes) }
    }

    fn live(&self) -> Result<(), StoreError> {
        if self.writes.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        Err(StoreError::Unavailable { what: String::from("anything"), source: "dead".into() })
    }
}

impl<S: LtxStore> LtxStore for Mortal<S> {
    async fn fence(&self) -> Result<Option<FenceRecord>, StoreError> {
        self.store.fence().await
    }

    async fn move_fence(&self, epoch: Epoch, node: &NodeId) -> Result<Fence, StoreError> {
        self.store.move_fence(epoch, node).await
    }

    async fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        self.store.list().await
    }

    async fn get(&self, name: LtxName) -> Result<Bytes, StoreError> {
        self.store.get(name).await
    }

    async fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        self.store.get_to_file(name, path).await
    }

    async fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> Result<(), StoreError> {
        self.live()?;
        self.store.put(fence, name, timestamp_ms, body).await
    }

    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        self.live()?;
        self.store.delete(fence, name).await
    }

    async fn changed(&self, at_most: Duration) {
        self.store.changed(at_most).await;
    }
}

/// All transactions, and two snapshots.
async fn fill<S: LtxStore>(store: &S, fence: Fence, source: &Source) {
    for n in 1..=source.txid() {
        put(store, fence, source, n).await.unwrap();
    }
    for n in [15, 45] {
        let body = Body::Bytes(source.ltx(1, n).into());
        store.put(fence, name(9, 1, n), timestamp(n), body).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_dies_anywhere_leaves_a_bucket_that_can_be_restored_and_is_made_up_for() {
    let mut source = Source::new(1024, 3);
    (0..59).for_each(|_| source.commit_random());
    let spool = tempfile::tempdir().unwrap();
    let config = config(spool.path(), Duration::from_secs(20));
    let mut complete = false;
    let mut writes = 0;
    while !complete {
        let store = MemStore::default();
        let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
        fill(&store, fence, &source).await;
        let mortal = Mortal::new(store.clone(), writes);
        complete = pass(&mortal, fence, &config, timestamp(75)).await.is_ok();
        check(&store, &Passive::new(), &source).await;

        // Another process takes over.
        let fence = store.move_fence(Epoch::new(2), &node("b")).await.unwrap();
        pass(&store, fence, &config, timestamp(75)).await.unwrap();
        check(&store, &Passive::new(), &source).await;
        let count = store.list().await.unwrap().len();
        assert!(count < 25, "{count} files after a death at write {writes}");
        writes += 1;
    }
    assert!(writes > 40, "{writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn litestream_restores_what_a_pass_that_died_has_left() {
    let mut source = Source::new(1024, 4);
    (0..59).for_each(|_| source.commit_random());
    let tip = Txid::new(source.txid());
    // Half of the levels made; all of them and nothing deleted; some deleted.
    for (writes, top) in [(4, 1), (12, 3), (25, 3)] {
        let bench = Bench::new().await;
        fill(&bench.store, bench.fence, &source).await;
        let config = config(&bench.spool(), Duration::from_secs(20));
        let mortal = Mortal::new(bench.store.clone(), writes);
        pass(&mortal, bench.fence, &config, timestamp(100)).await.unwrap_err();
        let names = bench.names().await;
        let highest = names.iter().filter(|n| n.level < Level::SNAPSHOT).map(|n| n.level.get());
        assert_eq!(highest.max(), Some(top), "{names:?}");
        assert!(names.contains(&name(0, 1, 1)) == (writes < 25), "{names:?}");
        assert!(bench.litestream(&[]).await == source.latest());
        check(&bench.store, &Passive::new(), &source).await;

        // The next primary makes up for it.
        let fence = bench.store.move_fence(Epoch::new(2), &node("b")).await.unwrap();
        pass(&bench.store, fence, &config, timestamp(100)).await.unwrap();
        assert_eq!(bench.names().await.iter().filter(|n| n.level == Level::L0).count(), 1);
        assert!(bench.litestream(&["-txid", &tip.to_hex()]).await == source.latest());
    }
}
