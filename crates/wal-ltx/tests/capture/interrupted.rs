//! A writer that is killed, or slow, between the WAL and SQLite's index of it.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ccm_types::Txid;
use ccm_wal_ltx::capture::{Capture, CaptureConfig, CaptureProgress};
use ccm_wal_ltx::codec::LtxHeader;
use ccm_wal_ltx::store::{Level, LtxStore};

use crate::bench::{Bench, WITHIN, joined, write, writers};
use crate::trouble::Flaky;

/// Appends a valid commit of one frame to the WAL of which SQLite's index does not know: the last
/// frame again with another content. So a writer leaves the WAL until its fsync returns.
fn unpublished(bench: &Bench) {
    let path = bench.path("data.db-wal");
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let len = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut wal = vec![0; len];
    file.read_exact_at(&mut wal, 0).unwrap();
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (big, salts) = (word(&wal, 0) & 1 == 1, wal[16..24].to_vec());
    let size = word(&wal, 8) as usize + 24;
    let mut end = 32;
    while end + size <= len && wal[end + 8..end + 16] == salts[..] {
        end += size;
    }
    let mut frame = wal[end - size..end].to_vec();
    assert_ne!(word(&frame, 4), 0, "not a commit");
    *frame.last_mut().unwrap() ^= 0x55;
    let mut sum = (word(&frame, 16), word(&frame, 20));
    for range in [0..8, 24..size] {
        for words in frame[range].chunks_exact(8) {
            let read = |at: usize| {
                let bytes = words[at..at + 4].try_into().unwrap();
                if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
            };
            sum.0 = sum.0.wrapping_add(read(0)).wrapping_add(sum.1);
            sum.1 = sum.1.wrapping_add(read(4)).wrapping_add(sum.0);
        }
    }
    frame[16..20].copy_from_slice(&sum.0.to_be_bytes());
    frame[20..24].copy_from_slice(&sum.1.to_be_bytes());
    file.write_all_at(&frame, end as u64).unwrap();
}

async fn wholes(bench: &Bench) -> usize {
    let mut wholes = 0;
    for file in bench.store.list().await.unwrap() {
        let header = LtxHeader::parse(&bench.store.get(file.name).await.unwrap()).unwrap();
        wholes += usize::from(file.name.level == Level::L0 && header.wal_size == 0);
    }
    wholes
}

async fn reached(capture: &Capture, txid: u64) {
    let mut progress = capture.progress();
    let far = |p: &CaptureProgress| p.txid >= Txid::new(txid);
    tokio::time::timeout(WITHIN, progress.wait_for(far)).await.unwrap().unwrap();
}

/// For longer than several looks.
async fn never_reached(capture: &Capture, txid: u64) {
    let mut progress = capture.progress();
    let far = progress.wait_for(|p| p.txid >= Txid::new(txid));
    assert!(tokio::time::timeout(Duration::from_millis(600), far).await.is_err());
}

fn quiet(bench: &Bench) -> CaptureConfig {
    CaptureConfig { checkpoint_pages: 100_000, ..bench.config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_ended_between_two_waits_is_found_by_the_next() {
    let bench = Bench::new().await;
    let application = bench.application();
    let failures = Arc::new(AtomicU32::new(0));
    let store = Flaky { store: bench.store.clone(), failures: Arc::clone(&failures) };
    let mut capture = Capture::start(store, bench.fence, bench.config()).await.unwrap();
    reached(&capture, 1).await;
    failures.store(u32::MAX - 1, Ordering::SeqCst);
    write(&application, 20);
    let error = capture.flush(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    failures.store(0, Ordering::SeqCst);
    // The bucket has everything and the thread has ended: the sender of the progress is gone.
    let mut progress = capture.progress();
    let ended = async { while progress.changed().await.is_ok() {} };
    tokio::time::timeout(WITHIN, ended).await.unwrap();
    let txid = capture.flush(WITHIN).await.unwrap();
    assert_eq!(txid, bench.store.tip().await.unwrap());
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_waits_for_its_disk_does_not_break_the_chain() {
    let bench = Bench::new().await;
    let application = bench.application();
    write(&application, 3);
    let start = Capture::start(bench.store.clone(), bench.fence, quiet(&bench));
    let mut capture = start.await.unwrap();
    reached(&capture, 1).await;
    write(&application, 1);
    reached(&capture, 2).await;
    application.execute_batch("BEGIN IMMEDIATE").unwrap();
    unpublished(&bench);
    never_reached(&capture, 3).await;
    application.execute_batch("UPDATE t SET v = randomblob(300) WHERE id = 2; COMMIT").unwrap();
    reached(&capture, 3).await;
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
    assert_eq!(wholes(&bench).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_between_the_commits_of_busy_writers_never_cost_a_whole_database() {
    let bench = Bench::new().await;
    write(&bench.application(), 3);
    let start = Capture::start(bench.store.clone(), bench.fence, quiet(&bench));
    let mut capture = start.await.unwrap();
    joined(writers(&bench.data(), 2, 2000)).await;
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
    assert_eq!(wholes(&bench).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_writer_left_and_another_wrote_over_is_replaced_in_the_bucket() {
    for rows in [0, 1, 2, 5] {
        let bench = Bench::new().await;
        let application = bench.application();
        write(&application, 3);
        let start = Capture::start(bench.store.clone(), bench.fence, quiet(&bench));
        let mut capture = start.await.unwrap();
        reached(&capture, 1).await;
        write(&application, 1);
        reached(&capture, 2).await;
        unpublished(&bench);
        never_reached(&capture, 3).await;
        for row in 0..rows {
            let sql = "UPDATE t SET v = randomblob(300) WHERE id = 1 + ?1";
            application.execute(sql, [row % 3]).unwrap();
        }
        capture.flush(WITHIN).await.unwrap();
        bench.check().await;
        assert_eq!(wholes(&bench).await, 1, "{rows} commits over it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_over_while_nobody_captured_is_no_part_of_the_chain() {
    let bench = Bench::new().await;
    let application = bench.application();
    write(&application, 3);
    let capture = Capture::start(bench.store.clone(), bench.fence, quiet(&bench)).await.unwrap();
    reached(&capture, 1).await;
    write(&application, 1);
    reached(&capture, 2).await;
    unpublished(&bench);
    never_reached(&capture, 3).await;
    capture.abandon().await;
    application.execute("UPDATE t SET v = randomblob(300) WHERE id = 1", []).unwrap();
    let start = Capture::start(bench.store.clone(), bench.fence, quiet(&bench));
    let mut capture = start.await.unwrap();
    write(&application, 1);
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}
