//! The WAL stays small, whatever makes it grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ccm_harness::wait;
use ccm_types::Txid;
use ccm_wal_ltx::capture::Capture;

use crate::bench::{Bench, WITHIN, write};
use crate::trouble::Flaky;

/// The test's checkpoints come at 40 pages of 4 KiB; this is many times that.
const SMALL: u64 = 2 << 20;

fn wal_len(bench: &Bench) -> u64 {
    std::fs::metadata(bench.path("data.db-wal")).map_or(0, |meta| meta.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_fills_the_spool_and_not_the_wal() {
    let bench = Bench::new().await;
    let application = bench.application();
    let failures = Arc::new(AtomicU32::new(0));
    let store = Flaky { store: bench.store.clone(), failures: Arc::clone(&failures) };
    let mut capture = Capture::start(store, bench.fence, bench.config()).await.unwrap();
    let mut progress = capture.progress();
    progress.wait_for(|p| p.txid == Txid::new(1)).await.unwrap();
    failures.store(u32::MAX - 1, Ordering::SeqCst);
    let mut unshipped = 0;
    for _ in 0..20 {
        write(&application, 200);
        let more = progress.wait_for(|p| p.unshipped_bytes > unshipped);
        unshipped = tokio::time::timeout(WITHIN, more).await.unwrap().unwrap().unshipped_bytes;
    }
    assert!(unshipped > 4 * SMALL, "{unshipped}");
    assert!(wal_len(&bench) < SMALL, "{}", wal_len(&bench));
    failures.store(0, Ordering::SeqCst);
    capture.flush(WITHIN).await.unwrap();
    let left = std::fs::read_dir(bench.path("spool")).unwrap().count();
    assert_eq!(left, 0);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wal_that_a_large_transaction_has_made_long_is_cut() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    application.execute("INSERT INTO t(v) VALUES (zeroblob(80000000))", []).unwrap();
    let cut = || {
        write(&application, 1);
        (wal_len(&bench) < SMALL).then_some(())
    };
    wait::until(WITHIN, "the WAL to be cut", cut);
    write(&application, 100);
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_ends_lets_the_wal_start_over() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    write(&application, 10);
    let reader = bench.application();
    reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    // Enough for the copying that goes before a seal.
    application.execute("INSERT INTO t(v) VALUES (zeroblob(12000000))", []).unwrap();
    write(&application, 300);
    let grown = wal_len(&bench);
    assert!(grown > 4 * SMALL, "{grown}");
    reader.execute_batch("COMMIT").unwrap();
    let header = || std::fs::read(bench.path("data.db-wal")).unwrap()[..32].to_vec();
    let old = header();
    let over = || {
        write(&application, 1);
        (header() != old).then_some(())
    };
    wait::until(WITHIN, "the WAL to start over", over);
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}
