//! How long a commit takes to be durable in a real bucket.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccm_harness::NatsServer;
use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::codec::LtxHeader;
use ccm_wal_ltx::store::{
    Body, Fence, FenceRecord, LtxInfo, LtxName, LtxStore, NatsStore, NatsStoreConfig, StoreError,
};

use crate::bench::{Bench, WITHIN, node};

const COMMITS: u32 = 1000;
const EVERY: Duration = Duration::from_millis(5);

/// A store that notes when the WAL up to an offset was stored.
#[derive(Debug, Clone)]
struct Timed {
    store: NatsStore,
    stored: Arc<Mutex<Vec<(u64, Instant)>>>,
}

impl LtxStore for Timed {
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
        let end = match &body {
            Body::Bytes(bytes) => LtxHeader::parse(bytes).map_or(0, |h| h.wal_offset + h.wal_size),
            Body::File(_) => 0,
        };
        self.store.put(fence, name, timestamp_ms, body).await?;
        self.stored.lock().unwrap().push((end, Instant::now()));
        Ok(())
    }

    async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        self.store.delete(fence, name).await
    }

    async fn changed(&self, at_most: Duration) {
        self.store.changed(at_most).await;
    }
}

/// Commits at a steady rate; where the WAL ended after each commit, and when.
fn commits(bench: &Bench) -> Vec<(u64, Instant)> {
    let (connection, wal) = (bench.application(), bench.path("data.db-wal"));
    let (pace, never) = std::sync::mpsc::channel::<()>();
    let begin = Instant::now();
    let done = (0..COMMITS)
        .map(|n| {
            never.recv_timeout((begin + EVERY * n).saturating_duration_since(Instant::now())).ok();
            connection.execute("INSERT INTO t(v) VALUES (randomblob(300))", []).unwrap();
            (std::fs::metadata(&wal).unwrap().len(), Instant::now())
        })
        .collect();
    drop(pace);
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_durable_within_a_fraction_of_a_second() {
    let nats = NatsServer::start();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from("convex-test-wal"),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(5),
        max_age: None,
    };
    let store = NatsStore::open(client, config).await.unwrap();
    let stored = Arc::default();
    let store = Timed { store, stored: Arc::clone(&stored) };
    let bench = Bench::new().await;
    let application = bench.application();
    let fence = store.move_fence(Epoch::new(1), &node()).await.unwrap();
    // The WAL grows without starting over, so that its length names a commit.
    let config = CaptureConfig { checkpoint_pages: u32::MAX, ..bench.config() };
    let mut capture = Capture::start(store, fence, config).await.unwrap();
    let bench = Arc::new(bench);
    let writer = Arc::clone(&bench);
    let commits = tokio::task::spawn_blocking(move || commits(&writer)).await.unwrap();
    capture.flush(WITHIN).await.unwrap();
    drop(application);
    let stored = stored.lock().unwrap();
    let mut waits: Vec<Duration> = commits
        .iter()
        .filter_map(|(end, at)| {
            let durable = stored.iter().find(|(to, _)| to >= end)?.1;
            Some(durable.saturating_duration_since(*at))
        })
        .collect();
    waits.sort();
    let (median, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!("{} commits, {} files: median {median:?} p99 {p99:?}", waits.len(), stored.len());
    assert!(waits.len() > COMMITS as usize / 2);
    assert!(median < Duration::from_millis(250), "{median:?}");
}
