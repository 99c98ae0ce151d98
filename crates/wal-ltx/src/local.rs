//! The files of one node: the data file that is served, the replica that follows, and records of
//! what they are.
//!
//! ```text
//! <data>  <data>-wal  <data>-shm        served by the backend while this node leads
//! <data>.diverged-e<epoch>-t<txid>-<n>  set aside, with its -wal; never removed
//! <replica>                             follows the bucket while another node leads
//! <replica>-ccm/                        the state directory:
//!     lock           held while a process works with these files
//!     stamp.json     the epoch under which <data> was served; clean_txid when all of it is in
//!                    the bucket
//!     position.json  what <replica> contains
//!     intent.json    what was being applied to <replica>
//!     reached.json   what <replica> contains, for others to see: ahead of position.json while a
//!                    process works with these files, nothing after that
//!     moves.json     renames that belong together and are not finished
//!     owner.json     who owned <data> when it was last there
//!     rebuild, new   a replica or a database that is not complete yet
//!     spool/         downloads
//! ```
//!
//! # Crashes
//!
//! Three things must hold at every instruction: an old `-wal` (or `-journal`) never meets a new
//! database, a database never loses its own, and the record of the replica never describes
//! another file. Operations that rename more than once are lists of idempotent steps in
//! `moves.json`, written and synced before the first step and replayed from the beginning by
//! [`Local::open`] and before every other operation, so that only complete operations are seen.
//! The lists, and what a crash leaves before the replay:
//!
//! **Swap** (`place`): data → aside · its `-wal` and `-journal` → aside · sync · `-shm` and
//! leftovers of data and replica removed · position and intent removed · sync · replica → data ·
//! stamp written · sync.
//! - after *data → aside*: no database is at the served path and its `-wal` waits there; the
//!   replay moves it to its database before anything else comes to that path;
//! - after the first *sync*: the set-aside database is complete, under its new name;
//! - after the second: no record speaks of the replica, and nothing lies where the new data goes;
//! - after *replica → data*: the database is in place without a stamp; unstamped data would be
//!   set aside again, so the replay writes the stamp before anybody looks.
//!
//! Data known to be clean at a transaction the replica contains is not set aside: its `-wal` is
//! removed (the bucket has what it holds) and the rename of the replica replaces it.
//!
//! **Retire**: first, outside the list, the stamp is marked clean and SQLite copies the `-wal`
//! into the database and removes it; a crash there leaves a clean database with all its files,
//! which is retired again or overwritten. Then: leftovers removed · position and intent removed ·
//! sync · data → replica · position written · stamp removed · sync.
//! - between *position removed* and *position written* there is no usable replica.
//!
//! **Set aside**: as the beginning of a swap, then the stamp is removed.
//!
//! **Rebuild**: position and intent removed · leftovers of the replica removed · sync ·
//! rebuild → replica · position written · sync.
//!
//! **Create**: the empty database is made beside, then: leftovers removed · sync · new → data ·
//! stamp written · sync.
//!
//! **Apply** is no list: pages are written over others under an announced end, see
//! [`crate::apply`]. Whatever makes the replica another file flushes it or forgets it first.
//!
//! All calls block: run them where blocking is allowed. They take turns.

mod ahead;
mod aside;
pub(crate) mod disk;
mod error;
mod intent;
mod moves;
mod owner;
mod peek;
mod place;
mod records;
mod retire;
mod sqlite;

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ccm_types::{Epoch, Position, Txid};

pub use aside::diverged;
pub use error::LocalError;
pub use place::Placed;
pub use records::Stamp;
pub use retire::Diverged;

pub(crate) use disk::{Writable, sync_dir};
#[cfg(test)]
pub(crate) use disk::{power_loss, trace, write_record};
pub(crate) use peek::peek;
use records::Intent;
pub(crate) use records::{PositionRecord, Replica};

use crate::plan::{DataSummary, Present, WalEnd};

/// Symbolic links that are followed to a configured file.
const LINKS_MAX: u32 = 8;

/// How long the lock is waited for.
const LOCK_WITHIN: Duration = Duration::from_millis(500);

/// Between two looks at the lock.
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// Permissions of the state directory: downloads hold what the database holds.
const STATE_MODE: u32 = 0o700;

/// Where the files of a node are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The database that the backend serves.
    pub data: PathBuf,
    /// The database that follows the bucket. Its directory is on the file system of `data`.
    pub replica: PathBuf,
    /// User and group of the served file; `None`: those of the file it replaces, else those of
    /// the directory.
    pub owner: Option<(u32, u32)>,
}

/// What is at the path of the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFile {
    /// Nothing, or a file of zero bytes.
    Missing,
    /// A SQLite database.
    Database {
        /// Page size in bytes.
        page_size: u32,
        /// Whether its header says WAL mode.
        wal_mode: bool,
        /// Under which epoch this node served it; `None` when it never did.
        stamp: Option<Stamp>,
    },
}

impl DataFile {
    /// What [`crate::plan::placing`] has to know.
    #[must_use]
    pub fn present(self) -> Present {
        match self {
            Self::Missing => Present::Missing,
            Self::Database { stamp, .. } => Present::Database(stamp),
        }
    }

    /// The epoch under which it was served.
    fn epoch(self) -> Option<Epoch> {
        match self {
            Self::Missing => None,
            Self::Database { stamp, .. } => stamp.map(|stamp| stamp.epoch),
        }
    }
}

/// The files of one node, held by one process at a time.
#[derive(Debug)]
pub struct Local {
    paths: Paths,
    state: PathBuf,
    turn: Mutex<()>,
    /// The replica as only this process knows it.
    working: Mutex<ahead::Working>,
    /// The last transaction of the data file's epoch that is known to be in the bucket.
    shipped: Mutex<Option<Txid>>,
    _lock: File,
}

impl Local {
    /// Takes the files of a node: checks the directories, creates the state directory, finishes
    /// what a crash has interrupted.
    ///
    /// # Errors
    /// [`LocalError`] with the path and what to do about it; nothing but the state directory has
    /// been changed then.
    pub fn open(paths: Paths) -> Result<Self, LocalError> {
        let paths =
            Paths { data: resolve(&paths.data)?, replica: resolve(&paths.replica)?, ..paths };
        check_directories(&paths)?;
        let state = disk::with_suffix(&paths.replica, "-ccm");
        let made = fs::DirBuilder::new().recursive(true).mode(STATE_MODE).create(&state);
        made.map_err(LocalError::io("create", &state))?;
        sync_dir(disk::parent(&state))?;
        let lock = lock(&state.join("lock"))?;
        let local = Self {
            paths,
            state,
            turn: Mutex::new(()),
            working: Mutex::default(),
            shipped: Mutex::new(None),
            _lock: lock,
        };
        disk::remove(&local.record("reached.json"))?;
        local.finish_moves()?;
        local.clear_spool()?;
        Ok(local)
    }

    /// Where the files are, symbolic links followed.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The directory of the records: `<replica>-ccm`.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Looks at the data file.
    ///
    /// # Errors
    /// [`LocalError::NotSqlite`], [`LocalError::BadPath`], [`LocalError::NoDirectory`],
    /// [`LocalError::NotWritable`], [`LocalError::Io`], [`LocalError::Record`].
    pub fn data(&self) -> Result<DataFile, LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        self.look_at_data()
    }

    /// What [`crate::plan::compare`] has to know.
    ///
    /// # Errors
    /// Those of [`Local::data`].
    pub fn summary(&self) -> Result<DataSummary, LocalError> {
        let data = self.data()?;
        let (replica, torn) = match self.replica_now()? {
            Replica::None => (None, None),
            Replica::At(record) => (Some(record.epoch), None),
            Replica::Torn { from, .. } => (None, Some(from.epoch)),
        };
        let present = match data {
            DataFile::Missing => false,
            DataFile::Database { .. } => true,
        };
        Ok(DataSummary { present, stamp: data.epoch(), replica, torn })
    }

    /// The highest epoch that the files of this node know of.
    ///
    /// # Errors
    /// Those of [`Local::data`].
    pub fn highest_epoch(&self) -> Result<Epoch, LocalError> {
        let data = self.data()?;
        let _turn = self.turn();
        let record: Option<PositionRecord> = disk::read_record(&self.record("position.json"))?;
        let replica = record.map(|record| record.epoch).max(self.ahead_epoch());
        Ok(data.epoch().max(replica).unwrap_or(Epoch::NONE))
    }

    /// What the replica contains; `None` when there is none, or none that is a valid database.
    ///
    /// # Errors
    /// [`LocalError::Io`], [`LocalError::Record`].
    pub fn replica_position(&self) -> Result<Option<Position>, LocalError> {
        Ok(match self.replica_now()? {
            Replica::At(record) => Some(record.position()),
            Replica::None | Replica::Torn { .. } => None,
        })
    }

    fn replica_now(&self) -> Result<Replica, LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        self.replica()
    }

    /// Takes the turn: one operation on the files at a time.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finishes renames that were interrupted.
    pub(crate) fn finish_moves(&self) -> Result<(), LocalError> {
        moves::finish(&self.record("moves.json"))
    }

    fn perform(&self, steps: &[moves::Step]) -> Result<(), LocalError> {
        moves::perform(&self.record("moves.json"), steps)
    }

    /// A file in the state directory.
    pub(crate) fn record(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    fn stamp(&self) -> Result<Option<Stamp>, LocalError> {
        disk::read_record(&self.record("stamp.json"))
    }

    fn look_at_data(&self) -> Result<DataFile, LocalError> {
        let path = &self.paths.data;
        check_directory(disk::parent(path))?;
        if disk::exists(path)? {
            let metadata = fs::metadata(path).map_err(LocalError::io("look at", path))?;
            if !metadata.is_file() {
                return Err(LocalError::BadPath { path: path.clone(), why: "it is not a file" });
            }
        }
        let Some(header) = sqlite::header(path)? else { return Ok(DataFile::Missing) };
        Ok(DataFile::Database {
            page_size: header.page_size,
            wal_mode: header.wal_mode,
            stamp: self.stamp()?,
        })
    }

    /// Where the WAL of the data file ends; `None` when there is none.
    pub(crate) fn data_wal_end(&self, page_size: u32) -> Result<Option<WalEnd>, LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        sqlite::wal_end(&self.paths.data, page_size)
    }

    /// What the replica is; the caller has the turn.
    pub(crate) fn replica(&self) -> Result<Replica, LocalError> {
        if let Some(replica) = self.ahead()? {
            return Ok(replica);
        }
        let record: Option<PositionRecord> = disk::read_record(&self.record("position.json"))?;
        let announced = intent::read(&self.record("intent.json"))?;
        Ok(records::replica(record, announced, disk::len(&self.paths.replica)?))
    }

    /// An empty directory for downloads.
    pub(crate) fn spool(&self) -> PathBuf {
        self.record("spool")
    }

    /// Removes downloads and half-made files that a crash has left.
    fn clear_spool(&self) -> Result<(), LocalError> {
        let spool = self.spool();
        if disk::exists(&spool)? {
            fs::remove_dir_all(&spool).map_err(LocalError::io("empty", &spool))?;
        }
        fs::create_dir(&spool).map_err(LocalError::io("create", &spool))?;
        disk::remove(&self.record("rebuild"))
    }

    /// Notes how far the data file is known to be in the bucket, for the name it is set aside
    /// under.
    pub(crate) fn note_shipped(&self, txid: Option<Txid>) {
        *self.shipped.lock().unwrap_or_else(PoisonError::into_inner) = txid;
    }

    fn shipped(&self) -> Option<Txid> {
        *self.shipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file that a path leads to: SQLite puts `-wal` beside the file, not beside a link to it.
fn resolve(path: &Path) -> Result<PathBuf, LocalError> {
    let bad = |why| LocalError::BadPath { path: path.to_path_buf(), why };
    let mut file = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        let dir = disk::parent(&file).to_path_buf();
        let name = file.file_name().ok_or_else(|| bad("it names no file"))?;
        let dir = match fs::canonicalize(&dir) {
            Ok(dir) => dir,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(LocalError::NoDirectory { path: dir });
            }
            Err(source) => return Err(LocalError::io("look at", &dir)(source)),
        };
        file = dir.join(name);
        match fs::read_link(&file) {
            Ok(target) => file = dir.join(target),
            Err(_) => return Ok(file),
        }
    }
    Err(bad("it is a symbolic link that leads nowhere"))
}

fn check_directories(paths: &Paths) -> Result<(), LocalError> {
    if paths.data == paths.replica {
        let why = "data and replica must be two files";
        return Err(LocalError::BadPath { path: paths.data.clone(), why });
    }
    let dirs = [disk::parent(&paths.data), disk::parent(&paths.replica)];
    let mut devices = [0; 2];
    for (dir, device) in dirs.iter().zip(&mut devices) {
        check_directory(dir)?;
        *device = fs::metadata(dir).map_err(LocalError::io("look at", dir))?.dev();
    }
    if devices[0] != devices[1] {
        let Paths { data, replica, .. } = paths.clone();
        return Err(LocalError::FileSystems { data, replica });
    }
    Ok(())
}

fn check_directory(dir: &Path) -> Result<(), LocalError> {
    let path = dir.to_path_buf();
    if !disk::exists(dir)? {
        return Err(LocalError::NoDirectory { path });
    }
    if !dir.is_dir() {
        return Err(LocalError::BadPath { path, why: "it is not a directory" });
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(dir, access).map_err(|e| LocalError::NotWritable { path, source: e.into() })
}

/// Takes the lock. A process that another thread was starting when the last holder let go has a
/// copy of its descriptor until it runs its program, so the lock is waited for a little.
#[expect(clippy::disallowed_methods, reason = "waits for the lock, with a deadline")]
fn lock(path: &Path) -> Result<File, LocalError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(LocalError::io("open", path))?;
    let deadline = Instant::now() + LOCK_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_AGAIN);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(LocalError::InUse { path: path.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(LocalError::io("lock", path)(source)),
        }
    }
}

#[cfg(test)]
mod tests;
