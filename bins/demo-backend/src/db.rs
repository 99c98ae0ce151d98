//! The database: one thread that commits, one connection that reads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags, params};
use tokio::sync::{mpsc, oneshot};

/// How long SQLite waits for a lock that somebody else holds (a checkpoint).
const BUSY_WITHIN: Duration = Duration::from_secs(5);
/// Writes that may queue; beyond that requests wait.
const QUEUE: usize = 256;
/// Rows in one answer.
pub(crate) const ROWS_MAX: u32 = 10_000;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS writes(
    id INTEGER PRIMARY KEY, client TEXT, n INTEGER, at_ms INTEGER, host TEXT);
    CREATE INDEX IF NOT EXISTS writes_by_client ON writes(client, n);";

/// SQLite's `PRAGMA synchronous`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Synchronous {
    /// fsync with every commit.
    Full,
    /// fsync with every checkpoint.
    Normal,
}

/// One transaction: all of `numbers`, by `client`.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) client: String,
    pub(crate) numbers: Vec<i64>,
    /// Gets the row ids once COMMIT has returned.
    pub(crate) done: oneshot::Sender<Result<Vec<i64>, rusqlite::Error>>,
}

/// Opens the database and starts the thread that writes; it ends when the last sender is gone.
pub(crate) fn start_writer(
    path: &Path,
    synchronous: Synchronous,
    host: String,
) -> Result<(mpsc::Sender<Write>, JoinHandle<()>)> {
    let open = || -> Result<Connection> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY_WITHIN)?;
        require_wal(&db, path)?;
        let mode = match synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        db.pragma_update(None, "synchronous", mode)?;
        db.execute_batch(SCHEMA)?;
        Ok(db)
    };
    let mut db = open().with_context(|| format!("could not open {}", path.display()))?;
    let (sender, mut queue) = mpsc::channel::<Write>(QUEUE);
    let thread = std::thread::Builder::new().name(String::from("writer")).spawn(move || {
        while let Some(write) = queue.blocking_recv() {
            let outcome = commit(&mut db, &host, &write);
            write.done.send(outcome).ok();
        }
    })?;
    Ok((sender, thread))
}

/// An empty file becomes a WAL-mode database; one with content has to be in WAL mode already.
fn require_wal(db: &Connection, path: &Path) -> Result<()> {
    let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages == 0 {
        db.pragma_update(None, "journal_mode", "wal")?;
    }
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    ensure!(mode == "wal", "{} is in journal mode {mode}, not wal", path.display());
    Ok(())
}

fn commit(db: &mut Connection, host: &str, write: &Write) -> Result<Vec<i64>, rusqlite::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let at_ms = i64::try_from(now).unwrap_or(i64::MAX);
    let transaction = db.transaction()?;
    let mut ids = Vec::with_capacity(write.numbers.len());
    {
        let mut insert = transaction.prepare(
            "INSERT INTO writes(client, n, at_ms, host) VALUES (?1, ?2, ?3, ?4) RETURNING id",
        )?;
        for n in &write.numbers {
            ids.push(insert.query_row(params![write.client, n, at_ms, host], |row| row.get(0))?);
        }
    }
    transaction.commit()?;
    Ok(ids)
}

/// What one client, or everybody, has written.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Count {
    /// Rows.
    pub(crate) count: i64,
    /// The highest number, 0 when there is none.
    pub(crate) max_n: i64,
    /// The highest row id, 0 when there is none.
    pub(crate) max_id: i64,
}

/// A read-only connection, shared by the requests.
#[derive(Debug, Clone)]
pub(crate) struct Reader(Arc<Mutex<Connection>>);

impl Reader {
    /// Opens the database that the writer has made.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)
            .with_context(|| format!("could not open {} for reading", path.display()))?;
        db.busy_timeout(BUSY_WITHIN)?;
        Ok(Self(Arc::new(Mutex::new(db))))
    }

    /// Counts the rows of `client`, or all.
    pub(crate) fn count(&self, client: Option<&str>) -> Result<Count, rusqlite::Error> {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut query = db.prepare(
            "SELECT count(*), coalesce(max(n), 0), coalesce(max(id), 0) FROM writes
             WHERE ?1 IS NULL OR client = ?1",
        )?;
        query.query_row([client], |row| {
            Ok(Count { count: row.get(0)?, max_n: row.get(1)?, max_id: row.get(2)? })
        })
    }

    /// `(id, n)` of `client`, by id, above `after`, at most [`ROWS_MAX`].
    pub(crate) fn rows(
        &self,
        client: Option<&str>,
        after: i64,
    ) -> Result<Vec<(i64, i64)>, rusqlite::Error> {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut query = db.prepare(
            "SELECT id, n FROM writes
             WHERE id > ?2 AND (?1 IS NULL OR client = ?1) ORDER BY id LIMIT ?3",
        )?;
        let rows = query
            .query_map(params![client, after, ROWS_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// `PRAGMA integrity_check`: `ok`, or what is wrong.
    pub(crate) fn integrity(&self) -> Result<String, rusqlite::Error> {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut check = db.prepare("PRAGMA integrity_check")?;
        let lines: Result<Vec<String>, _> = check.query_map([], |row| row.get(0))?.collect();
        Ok(lines?.join("\n"))
    }
}
