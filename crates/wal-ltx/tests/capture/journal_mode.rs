//! An application that sets another journal mode.

use ccm_types::Txid;
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use rusqlite::Connection;

use crate::bench::{Bench, WITHIN, write};

fn mode(connection: &Connection, wanted: &str) -> rusqlite::Result<String> {
    connection.query_row(&format!("PRAGMA journal_mode = {wanted}"), [], |row| row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_wal_gets_one() {
    let bench = Bench::new().await;
    let application = Connection::open(bench.data()).unwrap();
    application.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)").unwrap();
    let mut capture = bench.capture().await;
    write(&application, 10);
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_leave_wal_mode_while_it_is_captured() {
    let bench = Bench::new().await;
    let application = bench.application();
    application.busy_timeout(std::time::Duration::ZERO).unwrap();
    let mut capture = bench.capture().await;
    for wanted in ["delete", "truncate", "memory", "off"] {
        let set = mode(&application, wanted);
        assert!(set.as_ref().map_or(true, |is| is == "wal"), "{wanted}: {set:?}");
    }
    write(&application, 10);
    capture.flush(WITHIN).await.unwrap();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_without_a_wal_between_two_captures_is_shipped() {
    let bench = Bench::new().await;
    let application = bench.application();
    write(&application, 10);
    let mut capture = bench.capture().await;
    let txid = capture.flush(WITHIN).await.unwrap();
    drop(capture);
    for base in [None, Some(txid)] {
        assert_eq!(mode(&application, "delete").unwrap(), "delete");
        write(&application, 5);
        // Even for somebody who believes that the file is what the bucket holds.
        let config = CaptureConfig { base, ..bench.config() };
        let capture = Capture::start(bench.store.clone(), bench.fence, config).await;
        let mut capture = capture.unwrap();
        write(&application, 5);
        assert!(capture.flush(WITHIN).await.unwrap() > Txid::new(1));
        bench.check().await;
    }
}
