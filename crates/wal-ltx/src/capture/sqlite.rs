//! The connections: readers that keep the WAL from starting over, a locker, a checkpointer.
//!
//! A reader holds a read transaction at every moment. Either it needs frames of the WAL: then
//! nobody can reset the WAL. Or everything was in the database file when it began: then nobody
//! can copy newer frames into that file. So nobody ever does the one while somebody does the
//! other, which is what the WAL-reset bug of SQLite 3.7.0 to 3.51.2 needs (sqlite.org/wal.html),
//! whatever version the application embeds. A reader that begins while no other one holds does
//! so under the write lock, when nobody can reset either.
//!
//! POSIX locks belong to the process and a file: closing any descriptor of the database drops
//! every lock that SQLite has on it in this process. So the database is opened once beside
//! SQLite, before the connections, and closed after them (fields are dropped in order).

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::{self, CaptureError};

/// How long a read lock is waited for.
const BUSY_WITHIN: Duration = Duration::from_millis(500);

/// Between two tries at the write lock, at first: while somebody commits all the time a try
/// succeeds only when nobody has committed since it began to read, so many are made.
const LOCK_SOON: Duration = Duration::from_micros(5);

/// So many of those tries.
const LOCK_SOON_TRIES: i32 = 500;

/// Between two tries at the write lock, later. SQLite's own waits grow to 100 ms, and several
/// writers never leave it free for so long.
const LOCK_EVERY: Duration = Duration::from_millis(1);

/// All tries at the write lock before something else is done.
const LOCK_TRIES: i32 = 530;

/// How long somebody else's checkpoint is waited for while nobody can commit: an application
/// tries one after every commit, and mostly in vain.
const OTHER_WITHIN: Duration = Duration::from_millis(2);

/// Device and inode of a file.
type Identity = (u64, u64);

/// The database, open.
#[derive(Debug)]
pub(super) struct Database {
    readers: [Connection; 2],
    /// Which of them holds.
    holding: Cell<usize>,
    locker: Connection,
    checkpointer: Connection,
    file: Arc<File>,
    identity: Identity,
    path: PathBuf,
    wal_identity: Identity,
    wal: PathBuf,
    /// It was in another journal mode: the WAL proves nothing about what was written in that.
    converted: bool,
}

/// The WAL as SQLite knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frames {
    /// Frames of committed transactions.
    pub(super) committed: u64,
    /// Those that are in the database file as well.
    pub(super) copied: u64,
}

/// The write lock; nobody commits while it is held.
pub(super) struct Locked<'a> {
    database: &'a Database,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // A transaction that wrote nothing has nothing to undo.
        self.database.locker.execute_batch("ROLLBACK").ok();
    }
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = Arc::new(File::open(path).map_err(error::file("open", path))?);
        let opened = file.metadata().map_err(error::file("look at", path))?;
        let opened = identity(&opened);
        let connect = || connect(path);
        let locker = connect_to_lock(path)?;
        let mut database = Self {
            readers: [connect()?, connect()?],
            holding: Cell::new(0),
            locker,
            checkpointer: connect()?,
            file,
            identity: opened,
            path: path.to_path_buf(),
            wal_identity: opened,
            wal: wal_of(path),
            converted: false,
        };
        database.converted = database.ensure_wal()?;
        database.hold()?;
        let wal = std::fs::metadata(&database.wal);
        database.wal_identity = identity(&wal.map_err(error::file("look at", &database.wal))?);
        Ok(database)
    }

    /// Whether it was in another journal mode when it was opened.
    pub(super) fn is_converted(&self) -> bool {
        self.converted
    }

    /// An application may have left another journal mode; none can set it while this is open.
    /// `true` when it was another one.
    fn ensure_wal(&self) -> Result<bool, CaptureError> {
        let ask = |pragma| self.reader().query_row(pragma, [], |row| row.get::<_, String>(0));
        let mode = ask("PRAGMA journal_mode");
        let mode = mode.map_err(|e| self.failed("read the journal mode of", e))?;
        if mode == "wal" {
            return Ok(false);
        }
        let set = ask("PRAGMA journal_mode = wal");
        let set = set.map_err(|e| self.failed("set the journal mode of", e))?;
        if set == "wal" {
            tracing::info!(path = %self.path.display(), was = mode, "set its journal mode to wal");
            return Ok(true);
        }
        let source = io::Error::other(format!("its journal mode is {set} and could not be wal"));
        Err(error::file("capture", &self.path)(source))
    }

    fn reader(&self) -> &Connection {
        &self.readers[self.holding.get() % 2]
    }

    fn other_reader(&self) -> &Connection {
        &self.readers[(self.holding.get() + 1) % 2]
    }

    /// The database file beside SQLite. Must not outlive the connections.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Notices that other files have come to the names of the database and its WAL: SQLite goes on
    /// with those it has open, and so does the application. While they are open SQLite neither
    /// removes nor makes a WAL.
    pub(super) fn still_there(&self) -> Result<(), CaptureError> {
        let is = |path, one| std::fs::metadata(path).is_ok_and(|meta| identity(&meta) == one);
        let same = is(&self.path, self.identity) && is(&self.wal, self.wal_identity);
        if same { Ok(()) } else { Err(CaptureError::Replaced { path: self.path.clone() }) }
    }

    /// Holds the present state, so that the WAL cannot start over more than once.
    fn hold(&self) -> Result<(), CaptureError> {
        self.hold_with(self.reader())
    }

    fn hold_with(&self, reader: &Connection) -> Result<(), CaptureError> {
        let hold = "BEGIN; SELECT count(*) FROM sqlite_schema";
        reader.execute_batch(hold).map_err(|e| self.failed("hold a read transaction on", e))
    }

    fn let_go(&self) -> Result<(), CaptureError> {
        self.let_go_with(self.reader())
    }

    fn let_go_with(&self, reader: &Connection) -> Result<(), CaptureError> {
        let end = reader.execute_batch("ROLLBACK");
        end.map_err(|e| self.failed("end the read transaction on", e))
    }

    /// Copies what is committed into the database file while others go on committing, so that
    /// little is left to copy when they cannot.
    ///
    /// The WAL cannot be reset before, while and after this: the reader that takes over begins
    /// before the other one ends, and it needs frames of the WAL. That it does is certain when
    /// fewer frames are copied after its beginning than were committed before it.
    pub(super) fn copy_ahead(&self) -> Result<(), CaptureError> {
        let Some(before) = self.frames()? else { return Ok(()) };
        if before.copied >= before.committed {
            return Ok(());
        }
        self.hold_with(self.other_reader())?;
        let needs_frames = self.frames()?.is_some_and(|after| after.copied < before.committed);
        if !needs_frames {
            return self.let_go_with(self.other_reader());
        }
        self.let_go()?;
        self.holding.set(self.holding.get() + 1);
        match self.pragma_checkpoint("PASSIVE") {
            Err(error) if !is_busy(&error) => Err(self.failed("checkpoint", error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Cuts the WAL to nothing when all of it is in the database file and nobody has committed
    /// since a seal; else does nothing. The reader then keeps later commits from being copied,
    /// so that a WAL with such commits is never cut.
    pub(super) fn cut(&self) -> Result<(), CaptureError> {
        let wait = |within| {
            let set = self.checkpointer.busy_timeout(within);
            set.map_err(|e| self.failed("set a deadline on", e))
        };
        wait(Duration::ZERO)?;
        let cut = self.pragma_checkpoint("TRUNCATE");
        wait(BUSY_WITHIN)?;
        match cut {
            Err(error) if !is_busy(&error) => Err(self.failed("cut the WAL of", error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Keeps everybody from committing; `None` when somebody is for too long.
    pub(super) fn lock(&self) -> Result<Option<Locked<'_>>, CaptureError> {
        match self.locker.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(Some(Locked { database: self })),
            Err(error) if is_busy(&error) => Ok(None),
            Err(error) => Err(self.failed("lock", error)),
        }
    }

    /// Copies what can be copied of the WAL into the database file and holds the state that
    /// everybody who has committed has left.
    ///
    /// With `patience`, readers of older states are waited for so long, and when all is copied the
    /// rest of it is given to readers that need frames of the WAL: those that begin meanwhile
    /// need none. So the next commit resets the WAL although somebody always reads.
    pub(super) fn checkpoint(
        &self,
        _locked: &Locked<'_>,
        patience: Duration,
    ) -> Result<Frames, CaptureError> {
        self.let_go()?;
        let begin = Instant::now();
        let copied = loop {
            let copied = self.pragma_checkpoint("PASSIVE");
            let all = copied.as_ref().is_ok_and(|f| f.is_some_and(|f| f.copied == f.committed));
            let other = copied.as_ref().is_ok_and(Option::is_none);
            let within = if other { patience.max(OTHER_WITHIN) } else { patience };
            if all || begin.elapsed() >= within {
                break copied;
            }
            std::thread::park_timeout(if other { LOCK_SOON } else { LOCK_EVERY });
        };
        self.hold()?;
        match copied {
            Err(error) if !is_busy(&error) => return Err(self.failed("checkpoint", error)),
            // An application may have copied the rest before the state was held.
            Ok(_) | Err(_) => {}
        }
        let frames = self.frames()?.ok_or_else(|| self.busy())?;
        while frames.copied == frames.committed && begin.elapsed() < patience {
            std::thread::park_timeout(LOCK_EVERY);
        }
        Ok(frames)
    }

    /// Holds the state that everybody who has committed has left.
    pub(super) fn hold_again(&self, _locked: &Locked<'_>) -> Result<Frames, CaptureError> {
        self.let_go()?;
        self.hold()?;
        self.frames()?.ok_or_else(|| self.busy())
    }

    /// How long SQLite says the WAL is; `None` when somebody is saying so at this moment.
    pub(super) fn frames(&self) -> Result<Option<Frames>, CaptureError> {
        self.pragma_checkpoint("NOOP").map_err(|e| self.failed("look at the WAL of", e))
    }

    fn pragma_checkpoint(&self, mode: &str) -> rusqlite::Result<Option<Frames>> {
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        self.checkpointer.query_row(&pragma, [], |row| {
            let number = |n: i64| u64::try_from(n).unwrap_or(0);
            let frames = Frames { committed: number(row.get(1)?), copied: number(row.get(2)?) };
            Ok((row.get::<_, i64>(0)? == 0).then_some(frames))
        })
    }

    /// Page size and number of pages of the state that is held.
    pub(super) fn shape(&self) -> Result<(u32, u32), CaptureError> {
        let number = |pragma| self.reader().query_row(pragma, [], |row| row.get(0));
        let shape = number("PRAGMA page_size").and_then(|s| Ok((s, number("PRAGMA page_count")?)));
        shape.map_err(|e| self.failed("read the size of", e))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn busy(&self) -> CaptureError {
        CaptureError::Busy { path: self.path.clone(), within: BUSY_WITHIN }
    }

    fn failed(&self, doing: &'static str, source: rusqlite::Error) -> CaptureError {
        if is_busy(&source) {
            return self.busy();
        }
        CaptureError::Sqlite { doing, path: self.path.clone(), source }
    }
}

/// The `-wal` of a database.
pub(super) fn wal_of(data: &Path) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

fn identity(meta: &Metadata) -> Identity {
    (meta.dev(), meta.ino())
}

fn connect(path: &Path) -> Result<Connection, CaptureError> {
    let failed = |source| CaptureError::Sqlite { doing: "open", path: path.into(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_WITHIN).map_err(failed)?;
    // The WAL proves where the chain is, so it stays when the last connection closes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0").map_err(failed)?;
    Ok(connection)
}

/// A connection that takes the write lock as soon as it is free.
pub(super) fn connect_to_lock(path: &Path) -> Result<Connection, CaptureError> {
    let mut connection = connect(path)?;
    let set = connection.busy_handler(Some(again));
    set.map_err(|source| CaptureError::Sqlite { doing: "open", path: path.into(), source })?;
    Ok(connection)
}

/// Waits before the next try at the write lock, unless there were enough.
fn again(tries: i32) -> bool {
    std::thread::park_timeout(if tries < LOCK_SOON_TRIES { LOCK_SOON } else { LOCK_EVERY });
    tries < LOCK_TRIES
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
