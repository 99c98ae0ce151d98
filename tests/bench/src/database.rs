//! The databases that are replicated, and where their WAL ends.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

/// Rows of a transaction while a database is filled.
const FILL_ROWS: u64 = 2000;
/// Bytes of one row of a filled database.
const ROW_BYTES: usize = 1000;
/// Length of the WAL index header that is read.
const INDEX_LEN: usize = 48;

/// An empty table in WAL mode.
pub(crate) fn create(path: &Path) -> Result<()> {
    let connection = Connection::open(path).context("could not create the database")?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)",
    )?;
    Ok(())
}

/// A database of about so many megabytes, four fifths of it incompressible, as documents of a
/// backend are.
pub(crate) fn fill(path: &Path, megabytes: u64) -> Result<()> {
    let mut connection = Connection::open(path).context("could not create the database")?;
    connection.execute_batch(
        "PRAGMA journal_mode = off; PRAGMA synchronous = off;
         CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
    )?;
    let mut random = Random::new(megabytes + 1);
    let mut left = megabytes * 1_000_000 / u64::try_from(ROW_BYTES)?;
    while left > 0 {
        let rows = left.min(FILL_ROWS);
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare("INSERT INTO t(v) VALUES (?1)")?;
        for _ in 0..rows {
            insert.execute([document(&mut random)])?;
        }
        drop(insert);
        transaction.commit()?;
        left -= rows;
    }
    connection.execute_batch("PRAGMA synchronous = full; PRAGMA journal_mode = wal")?;
    drop(connection);
    File::open(path)?.sync_all()?;
    Ok(())
}

/// How many rows there are, by the last one: rows are not removed.
pub(crate) fn rows(path: &Path) -> Result<i64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Ok(connection.query_row("SELECT max(id) FROM t", [], |row| row.get(0))?)
}

fn document(random: &mut Random) -> String {
    let mut text =
        String::from("{\"_creationTime\":1764000000000,\"status\":\"delivered\",\"tags\":[");
    text.push_str(
        "\"inbox\",\"archive\"],\"author\":\"somebody\",\"kind\":\"message\",\"body\":\"",
    );
    while text.len() < ROW_BYTES - 2 {
        text.push(char::from(b'!' + u8::try_from(random.next() % 90).unwrap_or(0)));
    }
    text.push_str("\"}");
    text
}

/// The `-wal` of a database.
pub(crate) fn wal(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Where the last commit ends: in the WAL with these salts, at this offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WalEnd {
    /// Both salts.
    pub(crate) salts: (u32, u32),
    /// In bytes.
    pub(crate) offset: u64,
}

/// The WAL index of a database, as SQLite keeps it in the `-shm` file (SQLite "WAL-mode file
/// format", section 2.1).
#[derive(Debug)]
pub(crate) struct WalIndex(File);

impl WalIndex {
    /// Opens it; the database is open somewhere.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self(File::open(beside(path, "-shm")).context("could not open the -shm")?))
    }

    /// Where the last commit ends.
    pub(crate) fn end(&self) -> Result<WalEnd> {
        let mut header = [0; INDEX_LEN];
        self.0.read_exact_at(&mut header, 0)?;
        let field = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        // 1 stands for 65536, which 16 bits cannot hold.
        let page = match u16::from_ne_bytes([header[14], header[15]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        let frames = u64::from(u32::from_ne_bytes(field(16)));
        Ok(WalEnd {
            salts: (u32::from_be_bytes(field(32)), u32::from_be_bytes(field(36))),
            offset: 32 + frames * (24 + page),
        })
    }
}

/// Numbers that look random (xorshift), the same in every run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Between 0 and 1, neither included.
    pub(crate) fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).unwrap_or(0);
        (f64::from(bits) + 0.5) / (f64::from(u32::MAX) + 1.0)
    }
}
