//! Transactions in memory and larger ones, found alike.

use rusqlite::Connection;

use super::*;

struct Written {
    _dir: tempfile::TempDir,
    wal: WalFile,
    start: WalCursor,
}

fn written(sizes: &[u32]) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data.db");
    let connection = Connection::open(&data).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection.execute_batch("CREATE TABLE t(v BLOB)").unwrap();
    for size in sizes {
        connection.execute("INSERT INTO t VALUES (randomblob(?1))", [size]).unwrap();
    }
    let wal = WalFile::of(&data);
    // The last connection that closes removes the WAL.
    let kept = dir.path().join("kept");
    std::fs::copy(&wal.path, &kept).unwrap();
    drop(connection);
    std::fs::rename(kept, &wal.path).unwrap();
    let start = WalCursor::start(&wal.header().unwrap().unwrap());
    Written { _dir: dir, wal, start }
}

fn pages(found: &Found) -> Vec<(u32, Vec<u8>)> {
    let mut buffer = vec![0; 4096];
    let page = |(pgno, at): (&u32, &u64)| (*pgno, found.page(*at, &mut buffer).unwrap().to_vec());
    found.pages.iter().map(page).collect()
}

#[test]
fn frame_by_frame_the_same_is_found_as_at_once() {
    let Written { wal, start, _dir } = written(&[100, 90_000, 5000, 100]);
    let at_once = wal.commits(&start, wal.len()).unwrap();
    let by_frame = wal.walk(start, wal.len(), u64::MAX).unwrap();
    assert!(at_once.db_size_pages > 20);
    assert_eq!(at_once.db_size_pages, by_frame.db_size_pages);
    assert_eq!(at_once.cursor, by_frame.cursor);
    assert_eq!(pages(&at_once), pages(&by_frame));
}

#[test]
fn a_walk_ends_with_the_transaction_that_is_enough() {
    let Written { wal, start, _dir } = written(&[100, 90_000, 5000]);
    let one = wal.walk(start, wal.len(), 1).unwrap();
    assert_eq!(wal.seek(one.cursor.offset).unwrap(), Some(one.cursor));
    let two = wal.walk(start, wal.len(), one.cursor.offset - start.offset + 1).unwrap();
    assert!(one.cursor.offset < two.cursor.offset && two.cursor.offset < wal.len());
}

#[test]
fn a_transaction_larger_than_memory_should_hold_is_found_whole() {
    let size = u32::try_from(READ_MAX).unwrap() + 100_000;
    let Written { wal, start, _dir } = written(&[size]);
    let schema = wal.commits(&start, start.offset + 2 * start.frame_len() as u64).unwrap();
    let found = wal.commits(&schema.cursor, wal.len()).unwrap();
    assert!(matches!(found.content, Content::File(_)));
    assert_eq!(found.cursor.offset, wal.len());
    assert!(found.pages.len() * 4096 > size as usize);
}

#[test]
fn a_place_in_the_middle_of_a_transaction_or_beyond_the_end_is_none() {
    let Written { wal, start, _dir } = written(&[90_000]);
    let len = wal.len();
    assert_eq!(wal.seek(start.offset).unwrap(), Some(start));
    assert_eq!(wal.seek(len).unwrap().map(|end| end.offset), Some(len));
    let frame = start.frame_len() as u64;
    for wrong in [0, 31, 33, len - 1, len - frame, len + frame] {
        assert_eq!(wal.seek(wrong).unwrap(), None, "{wrong}");
    }
}
