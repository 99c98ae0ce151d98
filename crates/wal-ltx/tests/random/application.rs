//! The application: another process with several connections that does as it likes.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ccm_harness::{bound, wait};
use rusqlite::{Connection, ErrorCode};

use crate::dice::Dice;

/// Rows of the table whose sum is always 0.
pub(crate) const ACCOUNTS: u32 = 10;

/// Connections that write.
const WRITERS: u64 = 3;

/// Bytes of the database above which rows are removed.
const BYTES_MAX: u64 = 4 << 20;

const DATA: &str = "CCM_RANDOM_APPLICATION_DATA";
const SEED: &str = "CCM_RANDOM_APPLICATION_SEED";

const PATIENCE: Duration = Duration::from_secs(60);

/// `data.db` and `-wal` give `data.db-wal`.
pub(crate) fn path(data: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(data);
    name.push(suffix);
    name.into()
}

/// Makes the database.
pub(crate) fn create(data: &Path, page_size: u64, auto_vacuum: u64) {
    let connection = Connection::open(data).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum};
             PRAGMA journal_mode = wal;
             CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);
             CREATE TABLE account(id INTEGER PRIMARY KEY, v INTEGER);"
        ))
        .unwrap();
    for id in 0..ACCOUNTS {
        connection.execute("INSERT INTO account VALUES (?1, 0)", [id]).unwrap();
    }
}

/// The application while it runs.
pub(crate) struct Application {
    child: Child,
    data: PathBuf,
}

impl Application {
    pub(crate) fn start(data: &Path, seed: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["application::process", "--exact", "--ignored", "--nocapture"]);
        command.env(DATA, data).env(SEED, seed.to_string());
        let mut command = bound(&command);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Self { child: command.spawn().unwrap(), data: data.to_path_buf() }
    }

    /// How much was done since the database was made, in statements.
    pub(crate) fn done(data: &Path) -> u64 {
        std::fs::metadata(path(data, ".done")).map_or(0, |done| done.len())
    }

    /// Waits until so many more statements are done.
    pub(crate) async fn goes_on(&self, statements: u64) {
        let from = Self::done(&self.data);
        let far = async || (Self::done(&self.data) >= from + statements).then_some(());
        wait::until_async(PATIENCE, "the application to go on", tokio::time::sleep, far).await;
    }

    pub(crate) fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the application has failed");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Every connection is closed.
    pub(crate) async fn stop(mut self) {
        drop(self.child.stdin.take());
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        let status = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
        assert!(status.success(), "the application has failed: {status}");
    }
}

#[test]
#[ignore = "the application, which the tests start as a process of its own"]
fn process() {
    let Some(data) = std::env::var_os(DATA).map(PathBuf::from) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    // A connection that fails ends the process, so that it is noticed.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    let stop = Arc::new(AtomicBool::new(false));
    let spawn = |n: u64, work: fn(&mut Connected, &mut Dice)| {
        let mut connected = Connected::open(&data);
        let (mut dice, stop) = (Dice::new(seed.wrapping_add(n)), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                work(&mut connected, &mut dice);
            }
        })
    };
    let mut threads: Vec<_> = (0..WRITERS).map(|n| spawn(n, writes)).collect();
    threads.push(spawn(WRITERS, reads));
    // Until the test lets go of the other end.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

struct Connected {
    data: PathBuf,
    connection: Connection,
    done: std::fs::File,
}

impl Connected {
    fn open(data: &Path) -> Self {
        let connection = Connection::open(data).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection.execute_batch("PRAGMA synchronous = off").unwrap();
        let done = path(data, ".done");
        let done = std::fs::File::options().append(true).create(true).open(done).unwrap();
        Self { data: data.to_path_buf(), connection, done }
    }

    /// Somebody else may be first, or have dropped the table; nothing else may go wrong.
    fn run(&mut self, sql: &str) {
        if let Err(error) = self.connection.execute_batch(sql) {
            let code = error.sqlite_error_code();
            let expected = matches!(
                code,
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::SchemaChanged
                        | ErrorCode::Unknown
                )
            );
            assert!(expected, "{sql}: {error}");
        }
        if !self.connection.is_autocommit() {
            // What the error has rolled back already needs no second time.
            self.connection.execute_batch("ROLLBACK").ok();
        }
        self.done.write_all(b".").unwrap();
    }
}

fn reads(at: &mut Connected, dice: &mut Dice) {
    if at.connection.execute_batch("BEGIN; SELECT count(*) FROM t; SELECT * FROM account").is_ok() {
        let hold = if dice.once_in(8) { 0..700 } else { 0..40 };
        std::thread::park_timeout(Duration::from_millis(dice.among(hold)));
    }
    at.run("SELECT sum(v) FROM account");
    // Without a reader now and then no WAL can start over.
    std::thread::park_timeout(Duration::from_millis(dice.among(0..100)));
}

fn writes(at: &mut Connected, dice: &mut Dice) {
    let patience = if dice.once_in(3) { 5000 } else { dice.among(0..40) };
    at.connection.busy_timeout(Duration::from_millis(patience)).unwrap();
    if dice.once_in(40) {
        *at = Connected::open(&at.data);
    }
    let large = std::fs::metadata(&at.data).is_ok_and(|data| data.len() > BYTES_MAX);
    let sql = if large && dice.once_in(2) {
        String::from("DELETE FROM t WHERE id % 3 <> 0; PRAGMA incremental_vacuum")
    } else {
        statement(dice)
    };
    at.run(&sql);
}

fn statement(dice: &mut Dice) -> String {
    match dice.among(0..100) {
        0..30 => change(dice),
        30..55 => {
            let changes: Vec<String> = (0..dice.among(1..8)).map(|_| change(dice)).collect();
            format!("BEGIN IMMEDIATE; {}; {}; COMMIT", changes.join("; "), transfer(dice))
        }
        55..65 => format!("BEGIN IMMEDIATE; {}; COMMIT", transfer(dice)),
        65..72 => {
            // More than the cache holds: frames of what is rolled back are in the WAL.
            let rows = dice.among(1..60);
            format!(
                "PRAGMA cache_size = 5; BEGIN IMMEDIATE;
                 UPDATE account SET v = v + 1;
                 {}; ROLLBACK; PRAGMA cache_size = -2000",
                insert(rows, 3000)
            )
        }
        72..75 => format!(
            "BEGIN IMMEDIATE; {}; SAVEPOINT s; {}; ROLLBACK TO s; {}; COMMIT",
            change(dice),
            change(dice),
            transfer(dice)
        ),
        75..80 => definition(dice),
        80..88 => {
            let mode = dice.one_of(&["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
            // While a capture runs it waits in vain for the reader, and holds the write lock.
            let wait = if dice.once_in(10) { 300 } else { dice.among(0..10) };
            format!("PRAGMA busy_timeout = {wait}; PRAGMA wal_checkpoint({mode})")
        }
        88..90 => String::from("VACUUM"),
        90 => format!("PRAGMA auto_vacuum = {}; VACUUM", dice.among(0..3)),
        91..94 => format!("PRAGMA incremental_vacuum({})", dice.among(1..50)),
        94 => format!("PRAGMA wal_autocheckpoint = {}", dice.one_of(&[0, 3, 50, 1000])),
        95 => format!("PRAGMA synchronous = {}", dice.one_of(&["off", "normal"])),
        96 => format!("PRAGMA secure_delete = {}", dice.among(0..2)),
        97 => format!("PRAGMA user_version = {}", dice.among(0..1000)),
        98 => String::from("REINDEX; ANALYZE"),
        _ => String::from("DELETE FROM t"),
    }
}

fn insert(rows: u64, size: u64) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO t(v) SELECT randomblob({size}) FROM n"
    )
}

fn change(dice: &mut Dice) -> String {
    let size = dice.among(1..3000);
    match dice.among(0..12) {
        0..5 => insert(dice.among(1..20), size),
        5 => insert(1, dice.among(10_000..200_000)),
        6 => format!("INSERT INTO t(v) VALUES (zeroblob({}))", size * 20),
        7..10 => format!("UPDATE t SET v = randomblob({size}) WHERE id % 9 = {}", size % 9),
        10 => format!("DELETE FROM t WHERE id % 7 = {}", size % 7),
        _ => String::from("DELETE FROM t WHERE id > (SELECT max(id) - 30 FROM t)"),
    }
}

fn transfer(dice: &mut Dice) -> String {
    let (from, to) = (dice.among(0..ACCOUNTS.into()), dice.among(0..ACCOUNTS.into()));
    let amount = dice.among(1..100);
    format!(
        "UPDATE account SET v = v - {amount} WHERE id = {from};
         UPDATE account SET v = v + {amount} WHERE id = {to}"
    )
}

fn definition(dice: &mut Dice) -> String {
    let n = dice.among(0..3);
    match dice.among(0..5) {
        0 => format!("CREATE TABLE IF NOT EXISTS extra{n} AS SELECT id, v FROM t LIMIT 40"),
        1 => format!("DROP TABLE IF EXISTS extra{n}"),
        2 => format!("CREATE INDEX IF NOT EXISTS by_length{n} ON t(length(v), id)"),
        3 => format!("DROP INDEX IF EXISTS by_length{n}"),
        _ => format!("ALTER TABLE extra{n} ADD COLUMN c{} DEFAULT 7", dice.among(0..50)),
    }
}
