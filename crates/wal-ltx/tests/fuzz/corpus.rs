//! The corpus: small files of every kind, in `fuzz/corpus/<target>/`.

use std::path::PathBuf;

use ccm_types::Txid;
use ccm_wal_ltx::codec::{LtxEncoder, LtxHeader, lock_page};
use rusqlite::Connection;

fn directory(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Every file for a target, in the order of their names.
pub(crate) fn read(target: &str) -> Vec<Vec<u8>> {
    let listed = std::fs::read_dir(directory(target)).unwrap();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(directory(target)).unwrap();
    std::fs::write(directory(target).join(name), bytes).unwrap();
}

/// A file of these transactions; page contents that compress well and badly.
fn ltx(page_size: u32, (min, max): (u64, u64), commit: u32, pages: &[u32]) -> Vec<u8> {
    let header = LtxHeader {
        page_size,
        commit,
        min: Txid::new(min),
        max: Txid::new(max),
        timestamp_ms: 1_795_426_312_407,
        wal_offset: 32,
        wal_size: 4120,
        wal_salt1: 7,
        wal_salt2: 8,
    };
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    for &pgno in pages {
        let mut state = pgno;
        let noise = (0..page_size).map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if n < 100 && pgno % 2 == 1 { state.to_be_bytes()[0] } else { 7 }
        });
        encoder.page(pgno, &noise.collect::<Vec<_>>()).unwrap();
    }
    encoder.finish().unwrap()
}

fn wal(sql: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let connection = Connection::open(&path).unwrap();
    let shape = "PRAGMA page_size = 512; PRAGMA journal_mode = wal;
                 PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(v)";
    connection.execute_batch(shape).unwrap();
    sql.iter().for_each(|sql| connection.execute_batch(sql).unwrap());
    std::fs::read(path.with_extension("db-wal")).unwrap()
}

#[test]
#[ignore = "writes the corpus anew"]
fn is_made() {
    let lock = lock_page(65536);
    let files = [
        ("snapshot", ltx(512, (1, 9), 4, &[1, 2, 3, 4])),
        ("empty-snapshot", ltx(4096, (1, 1), 0, &[])),
        ("increment", ltx(512, (10, 10), 6, &[2, 5, 6])),
        ("shrinks", ltx(512, (11, 11), 2, &[1])),
        ("grows", ltx(512, (12, 13), 9, &[3, 4, 5, 6, 7, 8, 9])),
        ("around-the-lock-page", ltx(65536, (2, 2), lock + 1, &[lock - 1, lock + 1])),
        ("no-pages", ltx(1024, (5, 5), 3, &[])),
        ("of-litestream", include_bytes!("../../testdata/sample-l0.ltx").to_vec()),
    ];
    for (name, bytes) in &files {
        put("ltx", name, bytes);
    }
    let several = |names: &[&str]| {
        let mut bytes = Vec::new();
        for name in names {
            let (_, file) = files.iter().find(|(of, _)| of == name).unwrap();
            bytes.extend(u16::try_from(file.len()).unwrap().to_be_bytes());
            bytes.extend(file);
        }
        bytes
    };
    put("merge", "two", &several(&["snapshot", "increment"]));
    put("merge", "down-and-up", &several(&["snapshot", "increment", "shrinks", "grows"]));
    put("merge", "one", &several(&["around-the-lock-page"]));
    put("merge", "gap", &several(&["snapshot", "shrinks"]));

    let insert = "INSERT INTO t VALUES (randomblob(100))";
    let long = "INSERT INTO t VALUES (zeroblob(1500))";
    put("wal", "one", &wal(&[]));
    put("wal", "several", &wal(&[insert, long, insert]));
    put("wal", "restarted", &wal(&[long, "PRAGMA wal_checkpoint(RESTART)", insert]));
    let mut torn = wal(&[insert, long]);
    torn.truncate(torn.len() - 300);
    put("wal", "torn", &torn);
}
