//! A bucket that fails, is slow, or belongs to somebody else; an application that is in the way.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::store::{
    Body, Fence, FenceRecord, Level, LtxInfo, LtxName, LtxStore, MemStore, StoreError,
};

use crate::bench::{Bench, WITHIN, dump, rebuilt, write};

/// A store whose next puts fail, every other one after it was stored.
#[derive(Debug, Clone)]
pub(crate) struct Flaky {
    pub(crate) store: MemStore,
    pub(crate) failures: Arc<AtomicU32>,
}

impl LtxStore for Flaky {
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
        let less = |n: u32| n.checked_sub(1);
        let failure = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        let what = format!("putting {name}");
        match failure {
            Ok(n) if n % 2 == 0 => Err(StoreError::Unavailable { what, source: "away".into() }),
            Ok(_) => {
                self.store.put(fence, name, timestamp_ms, body).await?;
                Err(StoreError::Ambiguous { what })
            }
            Err(_) => self.store.put(fence, name, timestamp_ms, body).await,
        }
    }

    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        self.store.delete(fence, name).await
    }

    async fn changed(&self, at_most: Duration) {
        self.store.changed(at_most).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_delays_and_loses_nothing() {
    let bench = Bench::new().await;
    let application = bench.application();
    let failures = Arc::new(AtomicU32::new(0));
    let store = Flaky { store: bench.store.clone(), failures: Arc::clone(&failures) };
    let mut capture = Capture::start(store, bench.fence, bench.config()).await.unwrap();
    let mut progress = capture.progress();
    progress.wait_for(|p| p.txid == Txid::new(1)).await.unwrap();
    failures.store(u32::MAX - 1, Ordering::SeqCst);
    write(&application, 200);
    let behind = |p: &ccm_wal_ltx::capture::CaptureProgress| {
        p.unshipped_bytes > 200 * 300 && p.oldest_unshipped.is_some()
    };
    tokio::time::timeout(WITHIN, progress.wait_for(behind)).await.unwrap().unwrap();
    let error = capture.flush(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.is_transient() && !error.is_fenced(), "{error}");
    failures.store(3, Ordering::SeqCst);
    let txid = capture.flush(WITHIN).await.unwrap();
    assert_eq!(txid, bench.store.tip().await.unwrap());
    let last = progress.borrow().clone();
    assert_eq!((last.txid, last.unshipped_bytes, last.oldest_unshipped), (txid, 0, None));
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_abandoned_at_once_during_an_outage() {
    let bench = Bench::new().await;
    let application = bench.application();
    let failures = Arc::new(AtomicU32::new(u32::MAX - 1));
    let store = Flaky { store: bench.store.clone(), failures: Arc::clone(&failures) };
    let capture = Capture::start(store.clone(), bench.fence, bench.config()).await.unwrap();
    write(&application, 100);
    tokio::time::timeout(Duration::from_secs(5), capture.abandon()).await.unwrap();
    failures.store(0, Ordering::SeqCst);
    let mut capture = Capture::start(store, bench.fence, bench.config()).await.unwrap();
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_under_the_next_name_ends_the_capture() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    let mut progress = capture.progress();
    progress.wait_for(|p| p.txid == Txid::new(1)).await.unwrap();
    let name = LtxName { level: Level::L0, min: Txid::new(2), max: Txid::new(2) };
    let body = Body::Bytes(Bytes::from_static(b"of somebody else"));
    bench.store.put(bench.fence, name, 0, body).await.unwrap();
    write(&application, 1);
    let ended = tokio::time::timeout(WITHIN, progress.wait_for(|p| p.ended.is_some()));
    assert!(!ended.await.unwrap().unwrap().ended.as_ref().unwrap().fenced);
    let error = capture.flush(WITHIN).await.unwrap_err();
    assert!(!error.is_transient() && !error.is_fenced(), "{error}");
    capture.abandon().await;
}

/// Only snapshots, and what has been committed after the newest.
async fn from_the_snapshot(bench: &Bench) -> MemStore {
    let files = bench.store.list().await.unwrap();
    let snapshots = files.iter().filter(|f| f.name.level == Level::SNAPSHOT);
    let newest = snapshots.map(|f| f.name.max).max().unwrap();
    let store = MemStore::default();
    let fence = store.move_fence(bench.fence.epoch, &crate::bench::node()).await.unwrap();
    for file in files {
        let snapshot = file.name.level == Level::SNAPSHOT && file.name.max == newest;
        if snapshot || file.name.min > newest {
            let body = Body::Bytes(bench.store.get(file.name).await.unwrap());
            store.put(fence, file.name, file.timestamp_ms, body).await.unwrap();
        }
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_databases_are_taken_while_an_application_reads_an_old_state() {
    let bench = Bench::new().await;
    let application = bench.application();
    write(&application, 20);
    let old = bench.application();
    old.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    write(&application, 100);
    let config = CaptureConfig { snapshot_interval: Duration::from_millis(20), ..bench.config() };
    let mut capture = Capture::start(bench.store.clone(), bench.fence, config).await.unwrap();
    bench.snapshots(1).await;
    for round in 2..6 {
        write(&application, 100);
        bench.snapshots(round).await;
        if round == 4 {
            old.execute_batch("COMMIT").unwrap();
        }
    }
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
    let from = from_the_snapshot(&bench).await;
    let replica = rebuilt(&from, &bench.path("from")).await;
    assert!(dump(&replica) == dump(&bench.data()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_one_read_is_one_file() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    application.execute("INSERT INTO t(v) VALUES (zeroblob(70000000))", []).unwrap();
    write(&application, 3);
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
    let left = std::fs::read_dir(bench.path("spool")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_refused_with_its_name() {
    let bench = Bench::new().await;
    let error = Capture::start(bench.store.clone(), bench.fence, bench.config()).await.unwrap_err();
    assert!(error.to_string().contains("data.db"), "{error}");
}
