//! An application that always reads something: the WAL stays short all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bench::{Bench, WITHIN, application, assert_same};

/// How long each read transaction lasts; the next one begins at once.
const HOLD: Duration = Duration::from_millis(30);

/// Commits, each of about 20 kB.
const COMMITS: u32 = 4000;

/// Bytes that the WAL may have: the capture checkpoints at 4 MiB.
const WAL_MAX: u64 = 32 << 20;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fails: a checkpoint does not wait for readers, so the WAL does not start over"]
async fn a_reader_at_any_time_does_not_make_the_wal_grow_without_end() {
    let bench = Bench::new().await;
    let connection = application(&bench.data(), "");
    connection.execute_batch("INSERT INTO t VALUES (1, zeroblob(20000))").unwrap();
    let mut capture = bench.capture().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (reader, stopped) = (application(&bench.data(), ""), Arc::clone(&stop));
    let reading = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
            std::thread::park_timeout(HOLD);
            reader.execute_batch("COMMIT").unwrap();
        }
    });
    let mut longest = 0;
    for _ in 0..COMMITS {
        connection.execute_batch("UPDATE t SET v = randomblob(20000)").unwrap();
        let wal = std::fs::metadata(bench.path("data.db-wal")).unwrap().len();
        longest = longest.max(wal);
    }
    stop.store(true, Ordering::Relaxed);
    reading.join().unwrap();
    drop(connection);
    capture.flush(WITHIN).await.unwrap();
    let data = bench.checkpointed();
    assert_same(&bench.follow().await, &data, "followed");
    assert!(longest < WAL_MAX, "the WAL was {} MiB long", longest >> 20);
}
