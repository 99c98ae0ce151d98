//! A real server that loses what it has acknowledged, under a capture.

use ccm_harness::{NatsServer, wait};
use ccm_types::Epoch;
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::store::{Level, LtxStore, NatsStore, NatsStoreConfig};

use crate::bench::{WITHIN, application, dump, node, rebuilt, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_has_lost_its_end_is_made_whole_after_the_next_commit() {
    let mut nats = NatsServer::start();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from("convex-test-wal"),
        replicas: 1,
        create: true,
        timeout: std::time::Duration::from_secs(2),
        max_age: None,
    };
    let store = NatsStore::open(client, config).await.unwrap();
    let fence = store.move_fence(Epoch::new(1), &node()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (data, spool) = (dir.path().join("data.db"), dir.path().join("spool"));
    std::fs::create_dir(&spool).unwrap();
    let backend = application(&data);
    write(&backend, 5);
    let config = CaptureConfig::new(data.clone(), spool);
    let mut capture = Capture::start(store.clone(), fence, config).await.unwrap();
    let mut progress = capture.progress();
    write(&backend, 5);
    wait::until_async(WITHIN, "the first snapshot", tokio::time::sleep, || async {
        let files = store.list().await.ok()?;
        files.iter().any(|f| f.name.level == Level::SNAPSHOT).then_some(())
    })
    .await;
    nats.keep();
    for _ in 0..5 {
        let before = progress.borrow().txid;
        write(&backend, 1);
        let acknowledged = progress.wait_for(|p| p.txid > before);
        tokio::time::timeout(WITHIN, acknowledged).await.unwrap().unwrap();
    }
    nats.go_back();
    assert_eq!(store.losses(), 0);
    write(&backend, 1);
    wait::until_async(WITHIN, "a snapshot over the hole", tokio::time::sleep, || async {
        let files = store.list().await.ok()?;
        let tip = files.iter().map(|f| f.name.max).max()?;
        files.iter().any(|f| f.name.level == Level::SNAPSHOT && f.name.max == tip).then_some(())
    })
    .await;
    write(&backend, 3);
    capture.flush(WITHIN).await.unwrap();
    assert!(store.losses() > 0, "it was noticed");
    let replica = rebuilt(&store, &dir.path().join("passive")).await;
    assert!(dump(&replica) == dump(&data), "the bucket leads to all there is");
}
