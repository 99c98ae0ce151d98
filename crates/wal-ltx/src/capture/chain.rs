//! The chain of LTX files as a function of the WAL: what comes next, and when it breaks.
//!
//! What is *sealed* was captured under the write lock while the reader took hold of that state.
//! From then on the WAL can start over once, with the first commit, and not again: nothing of a
//! new WAL can be copied into the database file while the reader holds the state before it. So a
//! new header after a seal continues the chain; any other new header breaks it.

mod seal;
mod whole;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use ccm_types::{Monotonic, Txid};

pub(super) use seal::Seal;

use super::batch::{Batch, MEMORY_MAX, Next, batch};
use super::begin::Begin;
use super::error::CaptureError;
use super::sqlite::Database;
use super::wal_file::WalFile;
use crate::plan::{Resume, WalStart, resume};
use crate::wal::{WAL_HEADER_LEN, WalCursor};

/// What a look at the WAL gave.
#[derive(Debug)]
pub(super) enum Read {
    /// Commits.
    Batch(Batch),
    /// No commits.
    Nothing,
    /// A commit is being completed: look again.
    Busy,
    /// The chain does not go on: the WAL started over without us.
    Broken,
}

/// Where the next commit is read.
enum Place {
    At(WalCursor),
    /// There is no WAL yet.
    NoWal,
    Broken,
}

#[derive(Debug)]
pub(super) struct Chain {
    database: Rc<Database>,
    wal: WalFile,
    /// Where the next commit is read; `None` before the WAL's first header.
    cursor: Option<WalCursor>,
    sealed: bool,
    /// Seals after which the WAL went on instead of starting over, without a break.
    held_up: u32,
    /// Pages of the database at the cursor.
    pages: u32,
    next: Txid,
    /// The commit time of the last transaction.
    timestamp_ms: i64,
    /// Frames that are committed in the WAL, when it was last looked at.
    committed: u64,
    spool: PathBuf,
    /// Bytes of pages above which a file is made in the spool.
    pub(super) memory_max: usize,
}

impl Chain {
    /// Opens the database and holds its state.
    pub(super) fn open(data: &Path, spool: &Path, begin: &Begin) -> Result<Self, CaptureError> {
        let database = Rc::new(Database::open(data)?);
        let (_, pages) = database.shape()?;
        let (wal, spool) = (WalFile::of(data), spool.to_path_buf());
        let (next, timestamp_ms) = (begin.tip.next(), begin.timestamp_ms);
        Ok(Self {
            database,
            wal,
            cursor: None,
            sealed: false,
            held_up: 0,
            pages,
            next,
            timestamp_ms,
            committed: 0,
            spool,
            memory_max: MEMORY_MAX,
        })
    }

    /// The last transaction that was made.
    pub(super) fn tip(&self) -> Txid {
        Txid::new(self.next.get() - 1)
    }

    /// The commit time of that transaction.
    pub(super) fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// Whether nothing has been captured since the last seal.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether readers of the application keep the WAL from starting over. A single time can be a
    /// writer that had begun before the seal.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up > 1
    }

    /// Copies what is committed into the database file before a seal does the rest.
    pub(super) fn copy_ahead(&self) -> Result<(), CaptureError> {
        self.database.copy_ahead()
    }

    /// Frames that are committed and not in the database file; 0 when SQLite cannot say now.
    pub(super) fn uncopied(&self) -> Result<u64, CaptureError> {
        let frames = self.database.frames()?;
        Ok(frames.map_or(0, |frames| frames.committed.saturating_sub(frames.copied)))
    }

    /// Length of the WAL in bytes.
    pub(super) fn wal_len(&self) -> u64 {
        self.wal.len()
    }

    /// Cuts the WAL to nothing, if nobody has committed since the seal.
    pub(super) fn cut(&self) -> Result<(), CaptureError> {
        if self.sealed { self.database.cut() } else { Ok(()) }
    }

    /// Bytes of the WAL that are in use, when it was last looked at.
    pub(super) fn wal_in_use(&self) -> u64 {
        self.cursor.map_or(0, |cursor| offset_of(cursor, self.committed))
    }

    /// Finds the place in the WAL where the chain of the bucket ends; `false` when it does not.
    pub(super) fn resume(&mut self, begin: &Begin) -> Result<bool, CaptureError> {
        if self.database.is_converted() {
            return Ok(false);
        }
        let start = self.wal.header()?.map(|h| WalStart { salt1: h.salt1, salt2: h.salt2 });
        let last = begin.last.as_ref();
        let header = last.map(|last| &last.header);
        match (resume(start, self.wal.len(), header, begin.at_base), last) {
            (Resume::AtBase, _) => {
                self.sealed = true;
                Ok(true)
            }
            (Resume::After(_), Some(last)) => {
                self.cursor = last.end_in(&self.wal)?;
                self.pages = last.header.commit;
                Ok(self.cursor.is_some())
            }
            (Resume::After(_), None) | (Resume::Whole, _) => Ok(false),
        }
    }

    fn place(&self) -> Result<Place, CaptureError> {
        let first = |cursor: WalCursor| cursor.offset == WAL_HEADER_LEN as u64;
        let Some(header) = self.wal.header()? else {
            let expected = self.sealed || self.cursor.is_none_or(first);
            return Ok(if expected { Place::NoWal } else { Place::Broken });
        };
        let same = self.cursor.filter(|c| (c.salt1, c.salt2) == (header.salt1, header.salt2));
        Ok(match same {
            Some(cursor) if self.wal.len() >= cursor.offset => Place::At(cursor),
            None if self.sealed => Place::At(WalCursor::start(&header)),
            Some(_) | None => Place::Broken,
        })
    }

    /// Where the next commit is read, and how many frames of that WAL SQLite says are committed;
    /// `None` when it cannot say at this moment.
    ///
    /// A commit is in the WAL before it is one: its writer may still wait for the disk, or be
    /// killed before it says so, and then the next writer writes over it.
    fn place_and_committed(&mut self) -> Result<Option<(Place, u64)>, CaptureError> {
        let mut looks = 0;
        loop {
            let counted = self.database.frames()?;
            let place = self.place()?;
            let frames = match &place {
                Place::At(at) if self.cursor.is_some_and(|c| same_wal(&c, at)) => counted,
                // It has started over, maybe after it was counted; not a second time.
                Place::At(_) | Place::NoWal | Place::Broken => self.database.frames()?,
            };
            let Some(frames) = frames else { return Ok(None) };
            looks += 1;
            let odd = match place {
                Place::At(_) => false,
                Place::NoWal => frames.committed > 0,
                Place::Broken => true,
            };
            // Between two parts of a look the WAL may have been cut or have started over.
            if !odd || looks == LOOKS {
                self.committed = frames.committed;
                return Ok(Some((place, frames.committed)));
            }
        }
    }

    /// Makes the next file of what has been committed since.
    pub(super) fn read(&mut self, seen: Monotonic) -> Result<Read, CaptureError> {
        let looked = self.place_and_committed()?;
        // Not before: what was read by name counts only if the name has meant the same all along.
        self.database.still_there()?;
        let Some((place, committed)) = looked else { return Ok(Read::Busy) };
        let cursor = match place {
            Place::At(cursor) => cursor,
            // SQLite counts commits that are not there.
            Place::NoWal if committed > 0 => return Ok(Read::Broken),
            Place::NoWal => return Ok(Read::Nothing),
            Place::Broken => return Ok(Read::Broken),
        };
        let read = frames_before(cursor);
        if committed == read || (committed == 0 && self.sealed) {
            return Ok(Read::Nothing);
        }
        if committed < read {
            // Reset although not all of it may be captured.
            return Ok(Read::Broken);
        }
        let found = self.wal.commits(&cursor, offset_of(cursor, committed))?;
        let next = Next {
            txid: self.next,
            timestamp_ms: now_ms(),
            seen,
            pages_before: self.pages,
            database: self.database.file(),
            spool: self.spooled("commits"),
            memory_max: self.memory_max,
        };
        let Some((batch, pages)) = batch(&found, &cursor, &next)? else {
            // Something else is there than what SQLite counts.
            return Ok(Read::Broken);
        };
        self.database.still_there()?;
        if self.sealed {
            let goes_on = self.cursor.is_some_and(|before| same_wal(&before, &cursor));
            self.held_up = if goes_on { self.held_up + 1 } else { 0 };
        }
        self.cursor = Some(found.cursor);
        self.sealed = false;
        self.pages = pages;
        self.timestamp_ms = batch.timestamp_ms;
        self.next = self.next.next();
        Ok(Read::Batch(batch))
    }

    /// Committed bytes of the WAL that were not made a file yet.
    pub(super) fn ahead(&mut self) -> Result<u64, CaptureError> {
        let Some((Place::At(cursor), committed)) = self.place_and_committed()? else {
            return Ok(0);
        };
        Ok(offset_of(cursor, committed).saturating_sub(cursor.offset))
    }

    /// Frames in the WAL when it was last looked at.
    pub(super) fn frames(&self) -> u64 {
        self.committed
    }

    /// Where a file of the next transaction is made.
    pub(super) fn spooled(&self, what: &str) -> PathBuf {
        self.spool.join(format!("{SPOOLED}{what}-{}.ltx", self.next.to_hex()))
    }
}

/// Looks at a WAL that is not as expected before the chain is given up.
const LOOKS: u32 = 3;

/// How names in the spool begin.
pub(super) const SPOOLED: &str = "capture-";

fn same_wal(one: &WalCursor, other: &WalCursor) -> bool {
    (one.salt1, one.salt2) == (other.salt1, other.salt2)
}

fn frames_before(cursor: WalCursor) -> u64 {
    (cursor.offset - WAL_HEADER_LEN as u64) / cursor.frame_len() as u64
}

/// Where so many frames of the cursor's WAL end.
fn offset_of(cursor: WalCursor, frames: u64) -> u64 {
    WAL_HEADER_LEN as u64 + frames * cursor.frame_len() as u64
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
