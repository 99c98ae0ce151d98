//! Whole databases: a new beginning of the chain, and pictures for snapshots.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ccm_types::Monotonic;
use tokio_util::sync::CancellationToken;

use super::super::batch::Batch;
use super::super::error::{self, CaptureError};
use super::super::image::{self, Picture, Range};
use super::super::sqlite::Frames;
use super::{Chain, frames_before, now_ms, offset_of};
use crate::store::Body;
use crate::wal::WalCursor;

impl Chain {
    /// Begins a new chain at the end of the WAL: the whole database becomes the next
    /// transaction. `None` when somebody holds the write lock, or it was cancelled.
    ///
    /// Not while a picture is being copied.
    pub(in crate::capture) fn whole(
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
        self.timestamp_ms = range.timestamp_ms;
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
        // A WAL that was reset keeps its old content until the next commit.
        let reset = frames.committed == 0;
        let to = if reset { u64::MAX } else { offset_of(start, frames.committed) };
        let end = self.wal.walk(start, to, u64::MAX)?.cursor;
        if reset || frames_before(end) == frames.committed {
            return Ok(Some(end));
        }
        let failed = error::file("find the end of the WAL of", self.database.path());
        Err(failed(std::io::Error::other("the WAL does not hold what SQLite says")))
    }

    /// The state that a seal has taken hold of; `frames` are what it said, for since then the
    /// WAL may have started over. The state must not be let go before the picture is copied.
    pub(in crate::capture) fn picture(&self, frames: Frames) -> Result<Picture, CaptureError> {
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
        let Some(header) = self.wal.header()? else { return Ok(BTreeMap::new()) };
        Ok(self.wal.walk(WalCursor::start(&header), end.offset, u64::MAX)?.pages)
    }
}
