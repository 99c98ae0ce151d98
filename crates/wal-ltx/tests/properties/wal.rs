//! WALs: however they are read, the same transactions are found.

use ccm_wal_ltx::wal::{Commit, WAL_HEADER_LEN, WalCursor, WalHeader};
use rusqlite::Connection;

use crate::dice::Dice;
use crate::for_all;

/// A WAL of SQLite with random transactions.
fn wal(dice: &mut Dice) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let connection = Connection::open(&path).unwrap();
    let shape = format!(
        "PRAGMA page_size = {}; PRAGMA journal_mode = wal; PRAGMA synchronous = off;
         PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(v)",
        512 << dice.among(0..4)
    );
    connection.execute_batch(&shape).unwrap();
    for _ in 0..dice.among(1..12) {
        let insert = "INSERT INTO t VALUES (randomblob(?1))";
        connection.execute(insert, [u32::try_from(dice.among(1..5000)).unwrap()]).unwrap();
        if dice.once_in(6) {
            connection.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
        }
    }
    std::fs::read(path.with_extension("db-wal")).unwrap()
}

#[test]
fn reading_in_pieces_finds_what_reading_at_once_finds() {
    for_all(40, |dice| {
        let wal = wal(dice);
        let header = WalHeader::parse(wal[..WAL_HEADER_LEN].try_into().unwrap()).unwrap();
        let start = WalCursor::start(&header);
        let whole = start.scan(&wal[WAL_HEADER_LEN..]);
        let (mut cursor, mut ends): (_, Vec<u64>) = (start, Vec::new());
        let mut seen = WAL_HEADER_LEN;
        while seen < wal.len() {
            seen = (seen + usize::try_from(dice.among(1..20_000)).unwrap()).min(wal.len());
            let from = usize::try_from(cursor.offset).unwrap();
            if let Some(bytes) = wal.get(from..seen) {
                let scan = cursor.scan(bytes);
                ends.extend(scan.commits.iter().map(|commit| commit.end_offset));
                cursor = scan.cursor;
            }
        }
        assert_eq!(cursor, whole.cursor);
        let at_once: Vec<u64> = whole.commits.iter().map(|commit| commit.end_offset).collect();
        assert_eq!(ends, at_once);
        for end in ends {
            let found = WalCursor::seek(&header, &wal[WAL_HEADER_LEN..], end);
            assert_eq!(found.map(|cursor| cursor.offset), Some(end));
        }
    });
}

#[test]
fn a_damaged_wal_gives_a_prefix_of_its_transactions() {
    for_all(60, |dice| {
        let mut wal = wal(dice);
        let header = WalHeader::parse(wal[..WAL_HEADER_LEN].try_into().unwrap()).unwrap();
        let sound = WalCursor::start(&header).scan(&wal[WAL_HEADER_LEN..]).commits;
        let at = WAL_HEADER_LEN as u64..wal.len() as u64;
        let len = usize::try_from(dice.among(at.clone())).unwrap();
        for _ in 0..dice.among(0..4) {
            let at = usize::try_from(dice.among(at.clone())).unwrap();
            wal[at] ^= u8::try_from(dice.among(1..256)).unwrap();
        }
        let found: Vec<Commit> = WalCursor::start(&header).scan(&wal[WAL_HEADER_LEN..len]).commits;
        assert!(sound.starts_with(&found));
        let mut begin = [0; WAL_HEADER_LEN];
        begin.copy_from_slice(&wal[..WAL_HEADER_LEN]);
        let byte = usize::try_from(dice.among(0..WAL_HEADER_LEN as u64)).unwrap();
        begin[byte] ^= u8::try_from(dice.among(1..256)).unwrap();
        assert!(WalHeader::parse(&begin).is_err(), "byte {byte}");
    });
}
