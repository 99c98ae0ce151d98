//! Commits go on while NATS is away, and into the bucket as soon as it is back, over the connection
//! that a node makes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ccm_agent::{NatsSettings, connect};
use ccm_harness::NatsServer;
use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::store::{LtxStore as _, NatsStore, NatsStoreConfig};
use rusqlite::Connection;

const WITHIN: Duration = Duration::from_secs(60);

/// Outages in a row.
const ROUNDS: usize = 3;

/// Bytes of the WAL that gather during one.
const BACKLOG: u64 = 8 << 20;

fn settings(nats: &NatsServer) -> NatsSettings {
    NatsSettings {
        servers: vec![nats.url()],
        credentials: None,
        user: None,
        token: None,
        nkey_seed: None,
        tls_ca: None,
        tls_client: None,
        tls_first: false,
        replicas: None,
    }
}

fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    let prepare = "PRAGMA journal_mode = wal; PRAGMA synchronous = normal;
                   CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)";
    connection.execute_batch(prepare).unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn shipping_goes_on_when_nats_is_back() {
    let mut nats = NatsServer::start();
    let client = connect(&settings(&nats), "test", WITHIN).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from("convex-test-wal"),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(5),
        max_age: None,
    };
    let store = NatsStore::open(client, config).await.unwrap();
    let fence = store.move_fence(Epoch::new(1), &NodeId::new("a").unwrap()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (data, spool) = (dir.path().join("data.db"), dir.path().join("spool"));
    std::fs::create_dir(&spool).unwrap();
    let connection = application(&data);
    let config = CaptureConfig::new(data, spool);
    let mut capture = Capture::start(store.clone(), fence, config).await.unwrap();
    let mut progress = capture.progress();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                connection.execute("INSERT INTO t(v) VALUES (randomblob(300))", []).unwrap();
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
    });
    for round in 1..=ROUNDS {
        nats.kill();
        let gathered = progress.wait_for(|p| p.unshipped_bytes > BACKLOG);
        tokio::time::timeout(WITHIN, gathered).await.unwrap().unwrap();
        let before = progress.borrow().txid;
        nats.restart();
        let back = Instant::now();
        let further = progress.wait_for(|p| p.txid > before);
        tokio::time::timeout(WITHIN, further).await.unwrap().unwrap();
        let resumed = back.elapsed();
        let drained = progress.wait_for(|p| p.unshipped_bytes < BACKLOG / 8);
        tokio::time::timeout(WITHIN, drained).await.unwrap().unwrap();
        let drained = back.elapsed();
        println!("outage {round}: shipping after {resumed:?}, backlog gone after {drained:?}");
    }
    stop.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(|| writing.join().unwrap()).await.unwrap();
    let tip = capture.flush(WITHIN).await.unwrap();
    assert_eq!(store.tip().await.unwrap(), tip);
    assert_eq!(store.losses(), 0);
}
