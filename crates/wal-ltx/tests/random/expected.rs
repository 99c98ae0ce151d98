//! What a database is, said by SQLite alone.

use std::path::Path;

use rusqlite::Connection;

use crate::application::{ACCOUNTS, path};

/// The bytes of the database with its whole WAL copied into it. Nobody in this process has it
/// open: closing any descriptor of it would drop their locks.
pub(crate) fn checkpointed(data: &Path, dir: &Path) -> Vec<u8> {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let copy = dir.path().join("copy.db");
    for suffix in ["", "-wal"] {
        // The WAL of a database that was closed properly is gone.
        if path(data, suffix).exists() {
            std::fs::copy(path(data, suffix), path(&copy, suffix)).unwrap();
        }
    }
    let connection = Connection::open(&copy).unwrap();
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
    connection.close().unwrap();
    std::fs::read(copy).unwrap()
}

/// Some state that the application has committed: sound, and no mixture of two.
pub(crate) fn is_some_state(replica: &Path, dir: &Path) {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let copy = dir.path().join("copy.db");
    std::fs::copy(replica, &copy).unwrap();
    let connection = Connection::open(&copy).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let (accounts, sum): (u32, i64) = connection
        .query_row("SELECT count(*), coalesce(sum(v), 0) FROM account", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((accounts, sum), (ACCOUNTS, 0), "a mixture of two states");
}

/// Fails with the first page that differs.
pub(crate) fn assert_same(replica: &[u8], expected: &[u8], page_size: usize) {
    assert_eq!(replica.len() / page_size, expected.len() / page_size, "pages");
    let differs = |n: &usize| {
        let at = n * page_size..(n + 1) * page_size;
        replica[at.clone()] != expected[at]
    };
    let pages: Vec<usize> =
        (0..expected.len() / page_size).filter(differs).map(|n| n + 1).collect();
    assert!(pages.is_empty(), "pages differ: {pages:?}");
    assert!(replica == expected);
}
