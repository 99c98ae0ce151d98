//! The `-wal` of a database, read beside SQLite.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::{self, CaptureError};
use super::sqlite::wal_of;
use crate::wal::{Step, WAL_HEADER_LEN, WalCursor, WalHeader};

/// Bytes that are read into memory at once. A transaction that is larger is read twice, frame by
/// frame: to find its end, and to take its pages.
const READ_MAX: u64 = 16 << 20;

/// Buffer for reading frame by frame.
const BUFFER: usize = 1 << 20;

/// The `-wal` of a database. Nobody but SQLite creates or removes it.
#[derive(Debug)]
pub(super) struct WalFile {
    path: PathBuf,
}

/// Committed transactions after a cursor.
pub(super) struct Found {
    /// Where in the WAL file the last version of each page is.
    pub(super) pages: BTreeMap<u32, u64>,
    /// Size of the database in pages after them; 0 when there are none.
    pub(super) db_size_pages: u32,
    /// After them.
    pub(super) cursor: WalCursor,
    content: Content,
}

enum Content {
    /// Of the WAL from the first byte on.
    Bytes(u64, Vec<u8>),
    File(File),
}

impl Found {
    /// The page at byte `at` of the WAL file; `buffer` has the length of a page.
    pub(super) fn page<'a>(&'a self, at: u64, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        match &self.content {
            Content::Bytes(from, bytes) => {
                let at = usize::try_from(at - from).map_err(io::Error::other)?;
                bytes.get(at..at + buffer.len()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
            Content::File(file) => {
                file.read_exact_at(buffer, at)?;
                Ok(buffer)
            }
        }
    }
}

impl WalFile {
    pub(super) fn of(data: &Path) -> Self {
        Self { path: wal_of(data) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn open(&self) -> Result<File, CaptureError> {
        File::open(&self.path).map_err(error::file("open", &self.path))
    }

    /// Length in bytes; 0 without a WAL.
    pub(super) fn len(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// The header, if there is a whole and valid one.
    pub(super) fn header(&self) -> Result<Option<WalHeader>, CaptureError> {
        let bytes = self.read(0, WAL_HEADER_LEN as u64)?;
        // A header that is being written is short, or does not match its checksum yet.
        let whole = <[u8; WAL_HEADER_LEN]>::try_from(bytes).ok();
        Ok(whole.and_then(|bytes| WalHeader::parse(&bytes).ok()))
    }

    /// `at_most` bytes from `offset` on; none without a WAL.
    pub(super) fn read(&self, offset: u64, at_most: u64) -> Result<Vec<u8>, CaptureError> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.take(at_most).read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(bytes),
            Err(e) => Err(error::file("read", &self.path)(e)),
        }
    }

    /// The transactions after the cursor and before byte `end` of the WAL: up to [`READ_MAX`]
    /// bytes, or one larger transaction.
    pub(super) fn commits(&self, cursor: &WalCursor, end: u64) -> Result<Found, CaptureError> {
        let wanted = end.saturating_sub(cursor.offset);
        let bytes = self.read(cursor.offset, wanted.min(READ_MAX))?;
        let scan = cursor.scan(&bytes);
        if scan.commits.is_empty() && wanted > READ_MAX {
            return self.walk(*cursor, end, READ_MAX);
        }
        let frames = scan.commits.iter().flat_map(|commit| commit.frames.iter());
        Ok(Found {
            pages: frames.map(|(pgno, at)| (*pgno, cursor.offset + *at as u64)).collect(),
            db_size_pages: scan.commits.last().map_or(0, |commit| commit.db_size_pages),
            cursor: scan.cursor,
            content: Content::Bytes(cursor.offset, bytes),
        })
    }

    /// The transactions after the cursor and before byte `end`, read frame by frame, until they
    /// have `enough` bytes.
    pub(super) fn walk(
        &self,
        from: WalCursor,
        end: u64,
        enough: u64,
    ) -> Result<Found, CaptureError> {
        let file = self.open()?;
        let mut found = Found {
            pages: BTreeMap::new(),
            db_size_pages: 0,
            cursor: from,
            content: Content::File(file),
        };
        let mut open = Vec::new();
        self.steps(from, end, |step| {
            let page = step.cursor.offset - u64::from(from.page_size);
            open.push((step.pgno, page));
            if step.db_size_pages != 0 {
                found.pages.extend(open.drain(..));
                found.db_size_pages = step.db_size_pages;
                found.cursor = step.cursor;
            }
            found.cursor.offset - from.offset < enough
        })?;
        Ok(found)
    }

    /// The cursor at byte `end` of the WAL, when a transaction ends exactly there and every
    /// frame before it belongs to the chain that begins in the header.
    pub(super) fn seek(&self, end: u64) -> Result<Option<WalCursor>, CaptureError> {
        let Some(header) = self.header()? else { return Ok(None) };
        let mut at = (WalCursor::start(&header), true);
        self.steps(at.0, end, |step| {
            at = (step.cursor, step.db_size_pages != 0);
            true
        })?;
        Ok((at.0.offset == end && at.1).then_some(at.0))
    }

    /// Visits the frames after the cursor and before byte `end` while they continue the chain
    /// and more are wanted.
    fn steps(
        &self,
        from: WalCursor,
        end: u64,
        mut visit: impl FnMut(&Step) -> bool,
    ) -> Result<(), CaptureError> {
        let failed = |e| error::file("read", &self.path)(e);
        let mut file = BufReader::with_capacity(BUFFER, self.open()?);
        file.seek(SeekFrom::Start(from.offset)).map_err(failed)?;
        let mut frame = vec![0; from.frame_len()];
        let mut at = from;
        while at.offset + frame.len() as u64 <= end {
            match file.read_exact(&mut frame) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read.map_err(failed)?,
            }
            let Some(step) = at.step(&frame) else { break };
            at = step.cursor;
            if !visit(&step) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
