//! A database over 1 GiB: the page with the byte of SQLite's locks is in no file and holds
//! nothing, and what lies around it is there.

use std::path::Path;
use std::process::Command;

use ccm_types::Txid;
use ccm_wal_ltx::codec::lock_page;
use rusqlite::Connection;

use crate::bench::{Bench, WITHIN, application, assert_same};

const PAGE_SIZE: u32 = 65536;

/// Bytes of a page that a long blob fills.
const OVERFLOW: u32 = PAGE_SIZE - 4;

/// A database that ends a few pages after the lock page; nearly all of it is holes.
fn over_a_gib(data: &Path) {
    let connection = Connection::open(data).unwrap();
    let shape = format!(
        "PRAGMA page_size = {PAGE_SIZE}; PRAGMA auto_vacuum = full;
         PRAGMA journal_mode = off; PRAGMA synchronous = off;
         CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);"
    );
    connection.execute_batch(&shape).unwrap();
    let pages = lock_page(PAGE_SIZE) - 20;
    for pages in [pages / 2, pages - pages / 2, 30] {
        connection.execute("INSERT INTO t(v) VALUES (zeroblob(?1))", [pages * OVERFLOW]).unwrap();
    }
    connection.execute_batch("PRAGMA journal_mode = wal").unwrap();
    connection.close().unwrap();
    // Where holes cannot be made, the test takes a gigabyte more.
    Command::new("fallocate").arg("--dig-holes").arg(data).output().ok();
}

fn pages(connection: &Connection) -> u32 {
    connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_shrinks_and_grows_over_the_lock_page() {
    let bench = Bench::new().await;
    over_a_gib(&bench.data());
    let connection = application(&bench.data(), "");
    assert!(pages(&connection) > lock_page(PAGE_SIZE));
    let mut capture = bench.capture().await;
    // It contains the pages on both sides.
    bench.snapshot_of(Txid::new(1)).await;
    let mut progress = capture.progress();
    for grow in [false, true, false, true] {
        let before = progress.borrow().txid;
        if grow {
            let insert = "INSERT INTO t(v) VALUES (randomblob(?1))";
            connection.execute(insert, [40 * OVERFLOW]).unwrap();
        } else {
            connection.execute_batch("DELETE FROM t WHERE id > 2").unwrap();
        }
        assert_eq!(pages(&connection) > lock_page(PAGE_SIZE), grow);
        let shipped = progress.wait_for(|p| p.txid > before);
        tokio::time::timeout(WITHIN, shipped).await.unwrap().unwrap();
    }
    drop(connection);
    capture.flush(WITHIN).await.unwrap();
    let data = bench.checkpointed();
    let replica = bench.follow().await;
    assert_same(&replica, &data, "followed");
    std::fs::remove_file(replica).unwrap();
    assert_same(&bench.restored("restored.db").await, &data, "restored");
}
