//! An application that writes, checkpoints and vacuums as it likes.

use std::process::Command;
use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::capture::Capture;
use ccm_wal_ltx::store::{LtxStore, NatsStore, NatsStoreConfig};

use crate::bench::{Bench, WITHIN, dump, joined, node, write, writers};

#[tokio::test(flavor = "multi_thread")]
async fn what_several_writers_commit_across_many_checkpoints_is_all_in_the_bucket() {
    let bench = Bench::new().await;
    write(&bench.application(), 10);
    let mut capture = bench.capture().await;
    let mut progress = capture.progress();
    let mut before = Txid::ZERO;
    for _ in 0..4 {
        let more = progress.wait_for(|p| p.txid > before);
        before = tokio::time::timeout(WITHIN, more).await.unwrap().unwrap().txid;
        joined(writers(&bench.data(), 3, 100)).await;
    }
    let txid = capture.flush(WITHIN).await.unwrap();
    assert!(txid > before, "{txid}");
    assert_eq!(bench.store.tip().await.unwrap(), txid);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_checkpoints_itself_loses_nothing() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    for mode in ["TRUNCATE", "RESTART", "FULL", "PASSIVE"].repeat(5) {
        application.busy_timeout(Duration::from_secs(20)).unwrap();
        write(&application, 20);
        // It never gets through, so it does not wait long.
        application.busy_timeout(Duration::from_millis(1)).unwrap();
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        application.query_row(&pragma, [], |_| Ok(())).unwrap();
    }
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn growth_deletion_and_vacuum_are_carried_over() {
    let bench = Bench::new().await;
    let application = bench.application();
    write(&application, 50);
    let mut capture = bench.capture().await;
    for _ in 0..3 {
        write(&application, 200);
        application.execute_batch("DELETE FROM t WHERE id % 2 = 0; VACUUM;").unwrap();
    }
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_was_abandoned_goes_on_where_the_bucket_ends() {
    let bench = Bench::new().await;
    let application = bench.application();
    let capture = bench.capture().await;
    write(&application, 20);
    capture.abandon().await;
    write(&application, 20);
    let mut capture = bench.capture().await;
    write(&application, 5);
    let txid = capture.flush(WITHIN).await.unwrap();
    bench.check().await;
    // Another one that finds nothing new writes nothing.
    let mut capture = bench.capture().await;
    assert_eq!(capture.flush(WITHIN).await.unwrap(), txid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wal_that_started_over_without_us_is_never_continued() {
    let bench = Bench::new().await;
    let application = bench.application();
    let capture = bench.capture().await;
    write(&application, 20);
    capture.abandon().await;
    write(&application, 20);
    application.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    write(&application, 20);
    let mut capture = bench.capture().await;
    write(&application, 5);
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_epoch_ends_the_capture_and_it_says_so() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    bench.store.move_fence(Epoch::new(2), &NodeId::new("b").unwrap()).await.unwrap();
    write(&application, 1);
    let mut progress = capture.progress();
    let ended = tokio::time::timeout(WITHIN, progress.wait_for(|p| p.ended.is_some()));
    assert!(ended.await.unwrap().unwrap().ended.as_ref().unwrap().fenced);
    assert!(capture.flush(WITHIN).await.unwrap_err().is_fenced());
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_litestream_restores_what_was_captured_under_load() {
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
    let bench = Bench::new().await;
    let application = bench.application();
    let fence = store.move_fence(Epoch::new(1), &node()).await.unwrap();
    let mut capture = Capture::start(store.clone(), fence, bench.config()).await.unwrap();
    joined(writers(&bench.data(), 2, 200)).await;
    capture.flush(WITHIN).await.unwrap();
    drop(application);
    let restored = bench.path("restored.db");
    let mut restore = Command::new(ccm_harness::litestream());
    restore.args(["restore", "-integrity-check", "full", "-o"]).arg(&restored);
    restore.arg(format!("{}/convex-test-wal", nats.url()));
    let output = tokio::task::spawn_blocking(move || restore.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(dump(&restored), dump(&bench.data()));
}
