//! The chain of LTX files as a function of the WAL: what comes next, and when it breaks.
//!
//! What is *sealed* was captured under the write lock while the reader took hold of that state.
//! From then on the WAL can start over once, with the first commit, and not again: nothing of a
//! new WAL can be copied into the database file while the reader holds the state before it. So a
//! new header after a seal continues the chain; any other new header breaks it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ccm_types::{Monotonic, Txid};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Next, batch};
use super::begin::Begin;
use super::error::{self, CaptureError};
use super::image::{self, Picture, Range};
use super::sqlite::{Database, Frames};
use super::wal_file::WalFile;
use crate::codec::LtxHeader;
use crate::store::Body;
use crate::wal::{FRAME_HEADER_LEN, WAL_HEADER_LEN, WalCursor};

/// What a look at the WAL gave.
#[derive(Debug)]
pub(super) enum Read {
    /// Commits.
    Batch(Batch),
    /// No commits.
    Nothing,
    /// The chain does not go on: the WAL started over without us.
    Broken,
}

/// What became of an attempt to seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal {
    /// Somebody holds the write lock.
    Busy,
    /// The chain does not go on.
    Broken,
    /// Sealed; the WAL is as SQLite said.
    Sealed(Frames),
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
    /// Pages of the database at the cursor.
    pages: u32,
    next: Txid,
    /// How far [`Chain::ahead`] has looked.
    seen_to: Option<WalCursor>,
    spool: PathBuf,
}

impl Chain {
    /// Opens the database and holds its state.
    pub(super) fn open(data: &Path, spool: &Path, tip: Txid) -> Result<Self, CaptureError> {
        let database = Rc::new(Database::open(data)?);
        let (_, pages) = database.shape()?;
        let (wal, spool) = (WalFile::of(data), spool.to_path_buf());
        let next = tip.next();
        let (cursor, seen_to) = (None, None);
        Ok(Self { database, wal, cursor, sealed: false, pages, next, seen_to, spool })
    }

    /// The last transaction that was made.
    pub(super) fn tip(&self) -> Txid {
        Txid::new(self.next.get() - 1)
    }

    /// Whether nothing has been captured since the last seal.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Finds the place in the WAL where the chain of the bucket ends; `false` when it does not.
    pub(super) fn resume(&mut self, begin: &Begin) -> Result<bool, CaptureError> {
        let Some(header) = self.wal.header()? else {
            self.sealed = begin.at_base && self.wal.len() == 0;
            return Ok(self.sealed);
        };
        let Some(last) = begin.last else { return Ok(false) };
        if (last.wal_salt1, last.wal_salt2) != (header.salt1, header.salt2) {
            return Ok(false);
        }
        self.cursor = self.seek(&last)?;
        self.pages = last.commit;
        Ok(self.cursor.is_some())
    }

    fn seek(&self, last: &LtxHeader) -> Result<Option<WalCursor>, CaptureError> {
        let Some(header) = self.wal.header()? else { return Ok(None) };
        let end = last.wal_offset.saturating_add(last.wal_size);
        let first = WAL_HEADER_LEN as u64;
        let bytes = self.wal.read(first, end.saturating_sub(first))?;
        Ok(WalCursor::seek(&header, &bytes, end))
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

    /// Makes the next file of what has been committed since.
    pub(super) fn read(&mut self, seen: Monotonic) -> Result<Read, CaptureError> {
        let cursor = match self.place()? {
            Place::At(cursor) => cursor,
            Place::NoWal => return Ok(Read::Nothing),
            Place::Broken => return Ok(Read::Broken),
        };
        let found = self.wal.commits(&cursor)?;
        let next = Next {
            txid: self.next,
            timestamp_ms: now_ms(),
            seen,
            pages_before: self.pages,
            database: self.database.file(),
            spool: self.spooled("commits"),
        };
        let Some((batch, pages)) = batch(&found, &cursor, &next)? else {
            return Ok(Read::Nothing);
        };
        self.cursor = Some(found.scan.cursor);
        self.sealed = false;
        self.pages = pages;
        self.next = self.next.next();
        Ok(Read::Batch(batch))
    }

    /// Committed bytes of the WAL that were not made a file yet.
    pub(super) fn ahead(&mut self) -> Result<u64, CaptureError> {
        let Place::At(cursor) = self.place()? else { return Ok(0) };
        let from = self.seen_to.filter(|seen| {
            (seen.salt1, seen.salt2) == (cursor.salt1, cursor.salt2) && seen.offset > cursor.offset
        });
        let to = self.wal.walk(from.unwrap_or(cursor), |_, _| {})?;
        self.seen_to = Some(to);
        Ok(to.offset - cursor.offset)
    }

    /// Frames in the WAL of the cursor, as far as it was looked at.
    pub(super) fn frames(&self) -> u64 {
        let Some(cursor) = self.cursor else { return 0 };
        let same = |seen: &WalCursor| (seen.salt1, seen.salt2) == (cursor.salt1, cursor.salt2);
        let ahead = self.seen_to.filter(same).map_or(0, frames_before);
        frames_before(cursor).max(ahead)
    }

    /// Nobody commits; everything that is committed is made files of; then the WAL goes into the
    /// database file, as far as it can.
    ///
    /// Not while a picture is being copied.
    pub(super) fn seal(
        &mut self,
        checkpoint: bool,
        seen: Monotonic,
        made: &mut impl Extend<Batch>,
    ) -> Result<Seal, CaptureError> {
        let database = Rc::clone(&self.database);
        let Some(locked) = database.lock()? else { return Ok(Seal::Busy) };
        loop {
            match self.read(seen)? {
                Read::Batch(batch) => made.extend([batch]),
                Read::Nothing => break,
                Read::Broken => return Ok(Seal::Broken),
            }
        }
        let frames =
            if checkpoint { database.checkpoint(&locked) } else { database.hold_again(&locked) }?;
        if !self.is_at(frames)? {
            return Ok(Seal::Broken);
        }
        self.sealed = true;
        Ok(Seal::Sealed(frames))
    }

    /// Reads, and makes sure that nothing means that there is nothing.
    pub(super) fn read_to_the_end(&mut self, seen: Monotonic) -> Result<Read, CaptureError> {
        // The WAL may start over between two looks, but not twice.
        for _ in 0..2 {
            let frames = self.database.frames()?;
            match self.read(seen)? {
                Read::Nothing if self.is_at(frames)? => return Ok(Read::Nothing),
                Read::Nothing => {}
                read @ (Read::Batch(_) | Read::Broken) => return Ok(read),
            }
        }
        Ok(Read::Broken)
    }

    /// Whether the chain ends where SQLite says that the WAL does. It does not when a commit
    /// reached the WAL and failed after it, for then SQLite writes over it.
    fn is_at(&self, frames: Frames) -> Result<bool, CaptureError> {
        if frames.committed == 0 {
            return Ok(true);
        }
        Ok(match (self.cursor, self.wal.header()?) {
            (Some(cursor), Some(header)) => {
                (cursor.salt1, cursor.salt2) == (header.salt1, header.salt2)
                    && frames_before(cursor) == frames.committed
            }
            (None, _) | (_, None) => false,
        })
    }

    /// Begins a new chain at the end of the WAL: the whole database becomes the next
    /// transaction. `None` when somebody holds the write lock, or it was cancelled.
    ///
    /// Not while a picture is being copied.
    pub(super) fn whole(
        &mut self,
        seen: Monotonic,
        cancel: &CancellationToken,
    ) -> Result<Option<Batch>, CaptureError> {
        let database = Rc::clone(&self.database);
        let Some(locked) = database.lock()? else { return Ok(None) };
        let frames = database.checkpoint(&locked)?;
        self.cursor = self.end(frames)?;
        self.sealed = true;
        drop(locked);
        let picture = self.picture(frames)?;
        let range = Range { min: self.next, max: self.next, timestamp_ms: now_ms() };
        let path = self.spooled("whole");
        let Some((file, bytes)) = image::write(&picture, range, &path, cancel)? else {
            return Ok(None);
        };
        self.pages = picture.pages;
        self.next = self.next.next();
        Ok(Some(Batch {
            txid: range.max,
            timestamp_ms: range.timestamp_ms,
            body: Body::File(path),
            file: Some(file),
            bytes,
            seen,
            wal_bytes: u64::from(picture.pages) * u64::from(picture.page_size),
        }))
    }

    /// The end of what is committed; nobody commits.
    fn end(&self, frames: Frames) -> Result<Option<WalCursor>, CaptureError> {
        let Some(header) = self.wal.header()? else { return Ok(None) };
        let start = WalCursor::start(&header);
        let end = self.wal.walk(start, |_, _| {})?;
        // A WAL that was reset keeps its old content until the next commit.
        if frames.committed == 0 || frames_before(end) == frames.committed {
            return Ok(Some(end));
        }
        let len = frames.committed * start.frame_len() as u64;
        let bytes = self.wal.read(start.offset, len)?;
        let cursor = WalCursor::seek(&header, &bytes, start.offset + len);
        let differs = || std::io::Error::other("the WAL does not hold what SQLite says");
        let failed = error::file("find the end of the WAL of", self.database.path());
        cursor.map(Some).ok_or_else(|| failed(differs()))
    }

    /// The state that a seal has taken hold of; `frames` are what it said, for since then the
    /// WAL may have started over. The state must not be let go before the picture is copied.
    pub(super) fn picture(&self, frames: Frames) -> Result<Picture, CaptureError> {
        let (page_size, pages) = self.database.shape()?;
        let overlay = match self.cursor {
            Some(cursor) if frames.copied < frames.committed => {
                Some((self.wal.open()?, self.overlay(cursor)?))
            }
            Some(_) | None => None,
        };
        Ok(Picture {
            database: Arc::clone(self.database.file()),
            path: self.database.path().to_path_buf(),
            page_size,
            pages,
            overlay,
            end: self.cursor,
        })
    }

    fn overlay(&self, end: WalCursor) -> Result<BTreeMap<u32, u64>, CaptureError> {
        let mut pages = BTreeMap::new();
        let Some(header) = self.wal.header()? else { return Ok(pages) };
        self.wal.walk(WalCursor::start(&header), |base, commit| {
            if commit.end_offset <= end.offset {
                let frames = commit.frames.iter().map(|(pgno, at)| (*pgno, base + *at as u64));
                pages.extend(frames);
            }
        })?;
        Ok(pages)
    }

    /// Where a file of the next transaction is made.
    pub(super) fn spooled(&self, what: &str) -> PathBuf {
        self.spool.join(format!("{SPOOLED}{what}-{}.ltx", self.next.to_hex()))
    }
}

/// How names in the spool begin.
pub(super) const SPOOLED: &str = "capture-";

fn frames_before(cursor: WalCursor) -> u64 {
    let frame = FRAME_HEADER_LEN as u64 + u64::from(cursor.page_size);
    (cursor.offset - WAL_HEADER_LEN as u64) / frame
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
