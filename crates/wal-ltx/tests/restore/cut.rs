//! Attempts that the network or a kill cuts short.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ccm_wal_ltx::restore::{Progress, RestoreOptions, restore};
use ccm_wal_ltx::store::LtxStore as _;

use crate::bench::{Bench, open};
use crate::source::Source;

/// A source whose snapshot needs several pieces.
async fn bucket_of_pieces() -> (Bench, Source) {
    let bench = Bench::new().await;
    let mut source = Source::new(4096, 7);
    let rows = "with recursive n(i) as (select 0 union all select i + 1 from n where i < 99)
                insert into t select i, randomblob(400000) from n";
    source.commit(rows);
    bench.put(&source, 9, 1, 2).await;
    (0..5).for_each(|_| source.commit_random());
    for txid in 3..=7 {
        bench.put(&source, 0, txid, txid).await;
    }
    (bench, source)
}

async fn bytes_of(bench: &Bench) -> u64 {
    bench.store.list().await.unwrap().iter().map(|file| file.size).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_in_the_middle_costs_nothing_that_was_downloaded() {
    let (mut bench, source) = bucket_of_pieces().await;
    let (all, options, store) = (bytes_of(&bench).await, bench.options(), bench.store.clone());
    let nats = Mutex::new(&mut bench.nats);
    let cut = AtomicBool::new(false);
    let report = |progress| {
        if let Progress::Fetching { done_bytes, .. } = progress
            && done_bytes > all / 3
            && !cut.swap(true, Ordering::Relaxed)
        {
            nats.lock().unwrap().restart();
        }
    };
    let restored = restore(&store, &options, report).await.unwrap();
    assert!(cut.load(Ordering::Relaxed));
    assert_eq!(restored.downloaded_bytes, all, "something was downloaded twice");
    assert!(bench.take() == source.latest());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_ends_the_attempt_and_the_next_one_goes_on() {
    let (mut bench, source) = bucket_of_pieces().await;
    let (all, store) = (bytes_of(&bench).await, bench.store.clone());
    let options = RestoreOptions { stall: Duration::from_millis(200), ..bench.options() };
    let nats = Mutex::new(&mut bench.nats);
    let report = |progress| {
        if let Progress::Fetching { done_bytes, .. } = progress
            && done_bytes > all / 3
        {
            nats.lock().unwrap().kill();
        }
    };
    let error = restore(&store, &options, report).await.unwrap_err();
    assert!(error.is_unreachable() && error.is_transient(), "{error}");
    assert_eq!(bench.files(), ["restored.db.ccm-restore"]);
    bench.nats.restart();
    bench.store = open(&bench.nats).await;
    let restored = bench.restore().await.unwrap();
    assert!(restored.downloaded_bytes <= all - all / 3, "it was downloaded again");
    assert!(bench.take() == source.latest());
    assert!(bench.files().is_empty());
}

/// Restores until `at` bytes are here, then is gone like a process that was killed.
async fn killed_at(bench: &Bench, at: u64) -> u64 {
    let seen = std::sync::Arc::new(tokio::sync::Notify::new());
    let most = std::sync::atomic::AtomicU64::new(0);
    let report = |progress| {
        if let Progress::Fetching { done_bytes, .. } = progress {
            most.fetch_max(done_bytes, Ordering::Relaxed);
            if done_bytes >= at {
                seen.notify_one();
            }
        }
    };
    let options = bench.options();
    tokio::select! {
        biased;
        () = seen.notified() => {}
        done = restore(&bench.store, &options, report) => panic!("not killed: {done:?}"),
    }
    most.load(Ordering::Relaxed)
}

#[tokio::test]
async fn whatever_moment_it_is_killed_at_the_next_attempt_makes_the_same_database() {
    let (bench, source) = bucket_of_pieces().await;
    let all = bytes_of(&bench).await;
    let mut least = all;
    for step in [1, 30, 60, 90, 97, 100] {
        killed_at(&bench, all * step / 100).await;
        assert_eq!(bench.files(), ["restored.db.ccm-restore"], "at {step} %");
        let waits = tokio::time::timeout(Duration::from_secs(20), until_let_go(&bench));
        let restored = waits.await.expect("the first attempt to let go of its directory");
        least = least.min(restored);
        assert!(bench.take() == source.latest(), "killed at {step} %");
    }
    assert!(least < all / 2, "no attempt went on from an earlier one");
}

#[tokio::test]
async fn after_a_reboot_only_what_is_on_disk_counts() {
    let (bench, source) = bucket_of_pieces().await;
    let all = bytes_of(&bench).await;
    killed_at(&bench, all).await;
    let now = bench.path("restored.db.ccm-restore/now.json");
    let record = std::fs::read_to_string(&now).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["boot"] = "another one".into();
    std::fs::write(&now, record.to_string()).unwrap();
    // What a power loss has left of the pages.
    let database = bench.path("restored.db.ccm-restore/database");
    std::fs::write(database, vec![7; 100_000]).unwrap();
    let downloaded = until_let_go(&bench).await;
    assert_eq!(downloaded, all);
    assert!(bench.take() == source.latest());
}

/// The thread that writes pages lets go of the directory a moment after its task is gone.
async fn until_let_go(bench: &Bench) -> u64 {
    loop {
        match bench.restore().await {
            Err(ccm_wal_ltx::restore::RestoreError::InUse { .. }) => {
                tokio::task::yield_now().await;
            }
            done => return done.unwrap().downloaded_bytes,
        }
    }
}
