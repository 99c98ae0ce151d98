//! WALs that SQLite itself wrote: every page size, restarts, torn tails.

use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

struct Database {
    connection: Connection,
    wal: PathBuf,
    _dir: TempDir,
}

impl Database {
    fn new(page_size: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "page_size", page_size).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)").unwrap();
        Self { connection, wal: dir.path().join("data.db-wal"), _dir: dir }
    }

    fn insert(&self, bytes: u32) {
        self.connection.execute("INSERT INTO t(v) VALUES(zeroblob(?1))", [bytes]).unwrap();
    }

    fn wal(&self) -> Vec<u8> {
        std::fs::read(&self.wal).unwrap()
    }
}

fn header_of(wal: &[u8]) -> WalHeader {
    WalHeader::parse(wal[..WAL_HEADER_LEN].try_into().unwrap()).unwrap()
}

fn scan_all(wal: &[u8]) -> Scan {
    WalCursor::start(&header_of(wal)).scan(&wal[WAL_HEADER_LEN..])
}

#[test]
fn every_commit_of_a_wal_is_found_with_its_pages() {
    for page_size in [512, 1024, 4096, 65536] {
        let database = Database::new(page_size);
        for _ in 0..5 {
            database.insert(3 * page_size);
        }
        let wal = database.wal();
        let header = header_of(&wal);
        assert_eq!(header.page_size, page_size);
        let scan = scan_all(&wal);
        assert_eq!(scan.commits.len(), 6, "page size {page_size}");
        assert_eq!(scan.cursor.offset, wal.len() as u64);
        let pages: u32 =
            database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        assert_eq!(scan.commits.last().unwrap().db_size_pages, pages);
        assert_eq!(scan.commits.last().unwrap().end_offset, scan.cursor.offset);
        let mut rebuilt = vec![0; (pages * page_size) as usize];
        for &(pgno, at) in scan.commits.iter().flat_map(|c| &c.frames) {
            let page = &wal[WAL_HEADER_LEN + at..][..page_size as usize];
            let to = ((pgno - 1) * page_size) as usize;
            rebuilt[to..to + page_size as usize].copy_from_slice(page);
        }
        database.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        let file = std::fs::read(database.wal.with_file_name("data.db")).unwrap();
        assert!(rebuilt == file, "page size {page_size}: the frames are not the database");
    }
}

#[test]
fn a_tail_torn_at_any_byte_ends_the_scan_at_the_last_commit() {
    let database = Database::new(512);
    database.insert(10);
    database.insert(2000);
    let wal = database.wal();
    let whole = scan_all(&wal);
    let ends: Vec<u64> = whole.commits.iter().map(|c| c.end_offset).collect();
    for len in WAL_HEADER_LEN..=wal.len() {
        let scan = scan_all(&wal[..len]);
        let expected = ends.iter().filter(|&&end| end <= len as u64).count();
        assert_eq!(scan.commits.len(), expected, "cut at {len}");
        assert_eq!(scan.commits[..], whole.commits[..expected]);
    }
}

#[test]
fn a_damaged_byte_ends_the_scan_before_its_transaction() {
    let database = Database::new(512);
    database.insert(10);
    database.insert(2000);
    let wal = database.wal();
    let ends: Vec<u64> = scan_all(&wal).commits.iter().map(|c| c.end_offset).collect();
    for at in WAL_HEADER_LEN..wal.len() {
        let mut damaged = wal.clone();
        damaged[at] ^= 0x10;
        let whole = ends.iter().filter(|&&end| end <= at as u64).count();
        assert_eq!(scan_all(&damaged).commits.len(), whole, "byte {at}");
    }
}

#[test]
fn frames_of_the_wal_before_a_restart_are_not_read() {
    let database = Database::new(4096);
    for _ in 0..20 {
        database.insert(5000);
    }
    let before = database.wal();
    database.connection.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
    database.insert(10);
    let after = database.wal();
    assert_eq!(before.len(), after.len(), "the old frames are still there");
    let (old, new) = (header_of(&before), header_of(&after));
    assert_eq!(new.salt1, old.salt1.wrapping_add(1));
    assert_ne!(new.salt2, old.salt2);
    assert_eq!(new.checkpoint_seq, old.checkpoint_seq + 1);
    let scan = scan_all(&after);
    assert_eq!(scan.commits.len(), 1);
    assert!(scan.cursor.offset < after.len() as u64);
    let end = scan_all(&before).cursor;
    assert_eq!(steps(&new, &after, end.offset), None);
    assert_eq!(WalCursor::start(&old).scan(&after[WAL_HEADER_LEN..]).commits, []);
}

#[test]
fn a_scan_continues_where_the_last_one_ended_and_steps_lead_to_the_same_place() {
    let database = Database::new(4096);
    database.insert(100);
    let first = scan_all(&database.wal()).cursor;
    database.insert(9000);
    let wal = database.wal();
    let start = usize::try_from(first.offset).unwrap();
    let second = first.scan(&wal[start..]);
    assert_eq!(second.commits.len(), 1);
    assert_eq!(second.cursor, scan_all(&wal).cursor);
    assert_eq!(second.commits[0].frames[0].1, FRAME_HEADER_LEN);

    let header = header_of(&wal);
    for cursor in [first, second.cursor] {
        assert_eq!(steps(&header, &wal, cursor.offset), Some(cursor));
    }
    for wrong in [first.offset - 1, wal.len() as u64 + 4120] {
        assert_eq!(steps(&header, &wal, wrong), None, "{wrong}");
    }
}

/// Frame by frame from the beginning of the WAL to byte `end` of it.
fn steps(header: &WalHeader, wal: &[u8], end: u64) -> Option<WalCursor> {
    let mut at = WalCursor::start(header);
    while at.offset < end {
        let from = usize::try_from(at.offset).unwrap();
        let step = at.step(wal.get(from..from + at.frame_len())?)?;
        assert_eq!(step.cursor.offset, at.offset + at.frame_len() as u64);
        at = step.cursor;
    }
    (at.offset == end).then_some(at)
}

/// Rewrites a WAL as a big-endian host would have written it.
fn as_big_endian(wal: &[u8]) -> Vec<u8> {
    let mut wal = wal.to_vec();
    wal[3] |= 1;
    let put = |sum: (u32, u32), at: usize, wal: &mut Vec<u8>| {
        wal[at..at + 4].copy_from_slice(&sum.0.to_be_bytes());
        wal[at + 4..at + 8].copy_from_slice(&sum.1.to_be_bytes());
        sum
    };
    let mut sum = put(checksum::extend((0, 0), &wal[..24], true), 24, &mut wal);
    let frame_len = 512 + FRAME_HEADER_LEN;
    for at in (WAL_HEADER_LEN..wal.len()).step_by(frame_len) {
        sum = checksum::extend(sum, &wal[at..at + 8], true);
        sum = checksum::extend(sum, &wal[at + FRAME_HEADER_LEN..at + frame_len], true);
        put(sum, at + 16, &mut wal);
    }
    wal
}

#[test]
fn a_wal_of_a_big_endian_host_is_read() {
    let database = Database::new(512);
    database.insert(2000);
    let wal = as_big_endian(&database.wal());
    assert!(header_of(&wal).big_endian);
    assert_eq!(scan_all(&wal).commits, scan_all(&database.wal()).commits);
}

#[test]
fn a_header_with_any_damaged_byte_is_refused() {
    let database = Database::new(4096);
    let wal = database.wal();
    for at in 0..WAL_HEADER_LEN {
        let mut header: [u8; WAL_HEADER_LEN] = wal[..WAL_HEADER_LEN].try_into().unwrap();
        header[at] ^= 0x40;
        assert!(WalHeader::parse(&header).is_err(), "byte {at}");
    }
}
