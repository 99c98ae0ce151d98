//! Everything at once: writers, readers, foreign checkpoints, restarts of the capture.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ccm_types::Txid;
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::codec::LtxDecoder;
use ccm_wal_ltx::store::{Level, LtxStore};
use rusqlite::Connection;

use crate::bench::{Bench, WITHIN, application, joined, write};

/// SQL of an application that does as it likes, in the order of a simple generator.
fn reckless(data: PathBuf, seed: u64, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let connection = application(&data);
        connection.execute_batch("PRAGMA wal_autocheckpoint = 7").unwrap();
        let mut state = seed;
        while !stop.load(Ordering::Relaxed) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let sql = match (state >> 33) % 23 {
                0 => "PRAGMA wal_checkpoint(TRUNCATE)",
                1 => "PRAGMA wal_checkpoint(RESTART)",
                2 => "VACUUM",
                3 | 4 => "DELETE FROM t WHERE id % 5 = abs(random()) % 5",
                5 => "BEGIN; SELECT count(*) FROM t; SELECT max(v) FROM t; COMMIT",
                6 => "BEGIN; INSERT INTO t(v) VALUES (zeroblob(90000)); ROLLBACK",
                7 => "INSERT INTO t(v) VALUES (randomblob(20000))",
                _ => "INSERT INTO t(v) SELECT randomblob(300) FROM (VALUES (1), (2), (3))",
            };
            connection.busy_timeout(Duration::from_millis(5)).unwrap();
            match connection.execute_batch(sql) {
                Ok(()) => {}
                // Somebody else was first.
                Err(_) => connection.execute_batch("ROLLBACK").unwrap_or_default(),
            }
        }
    })
}

/// Applies the level-0 files one by one and lets SQLite check what comes out on the way.
async fn every_step_is_a_database(bench: &Bench) {
    use std::os::unix::fs::FileExt;
    let path = bench.path("steps.db");
    let file = std::fs::File::create(&path).unwrap();
    let files = bench.store.list().await.unwrap();
    let steps = files.iter().filter(|f| f.name.level == Level::L0);
    for (at, info) in steps.enumerate() {
        assert_eq!(info.name.max, Txid::new(at as u64 + 1));
        let content = bench.store.get(info.name).await.unwrap();
        let mut decoder = LtxDecoder::new(&content[..]).unwrap();
        let header = *decoder.header();
        let mut page = Vec::new();
        while let Some(pgno) = decoder.next_page(&mut page).unwrap() {
            file.write_all_at(&page, u64::from(pgno - 1) * u64::from(header.page_size)).unwrap();
        }
        file.set_len(u64::from(header.commit) * u64::from(header.page_size)).unwrap();
        if at % 7 == 0 {
            let copy = bench.path("step.db");
            std::fs::copy(&path, &copy).unwrap();
            let check: String = Connection::open(copy)
                .unwrap()
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(check, "ok", "after {}", info.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reckless_applications_and_restarts_never_make_a_wrong_chain() {
    for seed in 1..4 {
        let bench = Bench::new().await;
        write(&bench.application(), 10);
        let config = CaptureConfig {
            snapshot_interval: Duration::from_millis(50),
            checkpoint_pages: 15,
            ..bench.config()
        };
        let stop = Arc::new(AtomicBool::new(false));
        let threads =
            (0..3).map(|n| reckless(bench.data(), seed * 10 + n, Arc::clone(&stop))).collect();
        for round in 0..6 {
            let start = Capture::start(bench.store.clone(), bench.fence, config.clone());
            let capture = start.await.unwrap();
            let mut progress = capture.progress();
            let from = progress.borrow().txid.get();
            let far = |p: &ccm_wal_ltx::capture::CaptureProgress| {
                p.txid.get() > from + 20 || p.ended.is_some()
            };
            let reached = tokio::time::timeout(WITHIN, progress.wait_for(far)).await;
            assert_eq!(reached.unwrap().unwrap().ended, None, "seed {seed} round {round}");
            capture.abandon().await;
        }
        let start = Capture::start(bench.store.clone(), bench.fence, config);
        let mut capture = start.await.unwrap();
        stop.store(true, Ordering::Relaxed);
        joined(threads).await;
        capture.flush(WITHIN).await.unwrap();
        bench.check().await;
        every_step_is_a_database(&bench).await;
    }
}
