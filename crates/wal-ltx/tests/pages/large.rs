//! Transactions that are larger than what is read of a WAL at once, and the memory they take.

use std::process::Command;

use ccm_harness::bound;

use crate::bench::{Bench, WITHIN, application, assert_same};

/// Bytes of the transaction.
const TRANSACTION: u64 = 200 << 20;

/// Memory of the program and SQLite's caches.
const PROGRAM: u64 = 64 << 20;

/// The most memory that this process has had since the last call.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    // proc(5): the highest resident size begins again with the present one.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// One transaction of so many bytes, which compresses well: the bucket is in memory.
fn write(connection: &rusqlite::Connection) {
    let sql = format!(
        "PRAGMA cache_size = -1000;
         WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {})
         INSERT INTO t(v) SELECT zeroblob(100000) FROM n",
        TRANSACTION / 100_000
    );
    connection.execute_batch(&sql).unwrap();
}

/// Runs a test of this file in a process of its own, so that the memory is all its own.
fn alone(test: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    let output = bound(&command).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_large_transaction_is_captured_and_applied_as_one() {
    alone("large::in_a_process_of_its_own");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test in a process of its own"]
async fn in_a_process_of_its_own() {
    let bench = Bench::new().await;
    let application = application(&bench.data(), "");
    let mut capture = bench.capture().await;
    write(&application);
    application.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    drop(application);
    capture.flush(WITHIN).await.unwrap();
    let captured = peak();
    let data = bench.checkpointed();
    assert_same(&bench.follow().await, &data, "followed");
    let applied = peak();
    println!("peak memory: {} MiB captured, {} MiB applied", captured >> 20, applied >> 20);
    // The frames of one transaction are held at once, its file is not.
    assert!(captured < TRANSACTION + PROGRAM, "capture took {} MiB", captured >> 20);
    assert!(applied < PROGRAM, "apply took {} MiB", applied >> 20);
}
