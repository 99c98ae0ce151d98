//! Where a new capture begins, and what it ships.

use std::time::Duration;

use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::codec::LtxHeader;
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::plan::Verdict;
use ccm_wal_ltx::store::{Level, LtxStore};
use rusqlite::Connection;

use crate::bench::{Bench, WITHIN, dump, write};

/// How many level-0 files are whole databases.
async fn wholes(bench: &Bench) -> usize {
    let mut wholes = 0;
    for file in bench.store.list().await.unwrap() {
        let header = LtxHeader::parse(&bench.store.get(file.name).await.unwrap()).unwrap();
        assert!(header.wal_offset >= 32);
        wholes += usize::from(file.name.level == Level::L0 && header.wal_size == 0);
    }
    wholes
}

fn pragma(connection: &Connection, pragma: &str) {
    connection.query_row(pragma, [], |_| Ok(())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_bucket_gets_the_whole_database_and_a_snapshot() {
    let bench = Bench::new().await;
    write(&bench.application(), 10);
    let capture = bench.capture().await;
    bench.snapshots(1).await;
    capture.abandon().await;
    assert_eq!(bench.store.tip().await.unwrap(), Txid::new(1));
    assert_eq!(bench.store.list().await.unwrap().len(), 2);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wal_that_goes_on_where_the_bucket_ends_is_continued_even_if_it_starts_over_later() {
    let bench = Bench::new().await;
    let application = bench.application();
    // A WAL that is all copied when a capture ends starts over with the next commit, unseen.
    let config = CaptureConfig { checkpoint_pages: 10_000, ..bench.config() };
    let start = || Capture::start(bench.store.clone(), bench.fence, config.clone());
    let mut capture = start().await.unwrap();
    bench.snapshots(1).await;
    for _ in 0..4 {
        write(&application, 30);
        capture.flush(WITHIN).await.unwrap();
        write(&application, 5);
        // Copied by somebody else: the next commit starts the WAL over.
        pragma(&application, "PRAGMA wal_checkpoint(PASSIVE)");
        capture = start().await.unwrap();
    }
    write(&application, 30);
    capture.flush(WITHIN).await.unwrap();
    assert_eq!(wholes(&bench).await, 1);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wal_that_was_written_over_meanwhile_costs_one_whole_database() {
    for behind_our_back in ["PASSIVE", "RESTART", "TRUNCATE"] {
        let bench = Bench::new().await;
        let application = bench.application();
        let mut capture = bench.capture().await;
        write(&application, 30);
        capture.flush(WITHIN).await.unwrap();
        write(&application, 10);
        pragma(&application, &format!("PRAGMA wal_checkpoint({behind_our_back})"));
        write(&application, 10);
        let mut capture = bench.capture().await;
        write(&application, 10);
        capture.flush(WITHIN).await.unwrap();
        assert_eq!(wholes(&bench).await, 2, "{behind_our_back}");
        bench.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_connection_that_removes_the_wal_costs_one_whole_database() {
    let bench = Bench::new().await;
    write(&bench.application(), 10);
    let mut capture = bench.capture().await;
    capture.flush(WITHIN).await.unwrap();
    write(&bench.application(), 10);
    assert!(!bench.path("data.db-wal").exists());
    let mut capture = bench.capture().await;
    write(&bench.application(), 10);
    capture.flush(WITHIN).await.unwrap();
    assert_eq!(wholes(&bench).await, 2);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_promoted_is_not_shipped_again() {
    let bench = Bench::new().await;
    write(&bench.application(), 50);
    let mut capture = bench.capture().await;
    capture.flush(WITHIN).await.unwrap();
    let dir = bench.path("promoted");
    std::fs::create_dir(&dir).unwrap();
    let (data, replica) = (dir.join("data.db"), dir.join("replica.db"));
    let paths = Paths { data: data.clone(), replica, owner: None };
    let local = std::sync::Arc::new(Local::open(paths).unwrap());
    ccm_wal_ltx::follow::catch_up(&bench.store, &local, WITHIN, |_, _| {}).await.unwrap();
    let fence = bench.store.move_fence(Epoch::new(2), &crate::bench::node()).await.unwrap();
    let placed = local.place(Verdict::Swap, Epoch::new(2)).unwrap();
    let config = CaptureConfig {
        base: placed.position.map(|position| position.txid),
        ..CaptureConfig::new(data.clone(), local.state_dir().to_path_buf())
    };
    let mut capture = Capture::start(bench.store.clone(), fence, config).await.unwrap();
    write(&crate::bench::application(&data), 50);
    capture.flush(WITHIN).await.unwrap();
    assert_eq!(wholes(&bench).await, 1);
    let rebuilt = crate::bench::rebuilt(&bench.store, &bench.path("again")).await;
    assert!(dump(&rebuilt) == dump(&data));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_database_is_closed_and_page_for_page_what_a_passive_node_has() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    for _ in 0..5 {
        write(&application, 40);
        application.execute("DELETE FROM t WHERE id % 3 = 0", []).unwrap();
    }
    drop(application);
    let txid = capture.flush(WITHIN).await.unwrap();
    assert_eq!(capture.flush(Duration::from_millis(1)).await.unwrap(), txid);
    // Nobody else has it open, so closing removes the WAL.
    drop(Connection::open(bench.data()).map(|c| pragma(&c, "PRAGMA wal_checkpoint(TRUNCATE)")));
    assert!(!bench.path("data.db-wal").exists());
    let replica = crate::bench::rebuilt(&bench.store, &bench.path("replica")).await;
    let (ours, theirs) = (std::fs::read(bench.data()), std::fs::read(replica));
    assert!(ours.unwrap() == theirs.unwrap());
}
