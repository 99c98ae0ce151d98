//! Committed frames of the WAL as one LTX file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ccm_types::{Monotonic, Txid};

use super::error::{self, CaptureError};
use super::wal_file::Found;
use crate::codec::{LtxEncoder, LtxHeader, lock_page};
use crate::store::Body;
use crate::wal::WalCursor;

/// Bytes of pages above which a file is made on disk.
pub(super) const MEMORY_MAX: usize = 4 << 20;

/// A file in the spool; removed when it is not needed any more.
#[derive(Debug)]
pub(super) struct Spooled(pub(super) PathBuf);

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "a file stays in the spool");
        }
    }
}

/// One group of commits on its way, or a whole database in their place.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) txid: Txid,
    pub(super) timestamp_ms: i64,
    pub(super) body: Body,
    /// The body, when it is a file.
    pub(super) file: Option<Spooled>,
    /// Length of the body.
    pub(super) bytes: u64,
    /// When its oldest commit was seen.
    pub(super) seen: Monotonic,
    /// Bytes of the WAL it covers.
    pub(super) wal_bytes: u64,
}

/// What the next file needs beside the WAL.
pub(super) struct Next<'a> {
    pub(super) txid: Txid,
    pub(super) timestamp_ms: i64,
    pub(super) seen: Monotonic,
    /// Pages of the database before.
    pub(super) pages_before: u32,
    pub(super) database: &'a File,
    /// Where it is made when it is large.
    pub(super) spool: PathBuf,
    /// Bytes of pages above which it is large.
    pub(super) memory_max: usize,
}

/// The transactions found after the cursor as one file; `None` when there are none.
pub(super) fn batch(
    found: &Found,
    cursor: &WalCursor,
    next: &Next<'_>,
) -> Result<Option<(Batch, u32)>, CaptureError> {
    let scan = &found.scan;
    let Some(last) = scan.commits.last() else { return Ok(None) };
    let commit = last.db_size_pages;
    let mut pages: BTreeMap<u32, usize> = BTreeMap::new();
    for (pgno, at) in scan.commits.iter().flat_map(|c| c.frames.iter()) {
        pages.insert(*pgno, *at);
    }
    let lock = lock_page(cursor.page_size);
    pages.retain(|pgno, _| *pgno <= commit && *pgno != lock);
    let header = LtxHeader {
        page_size: cursor.page_size,
        commit,
        min: next.txid,
        max: next.txid,
        timestamp_ms: next.timestamp_ms,
        wal_offset: cursor.offset,
        wal_size: scan.cursor.offset - cursor.offset,
        wal_salt1: cursor.salt1,
        wal_salt2: cursor.salt2,
    };
    let small = pages.len().saturating_mul(cursor.page_size as usize) <= next.memory_max;
    let (body, file, bytes) = if small {
        let content = encode(Vec::new(), header, &pages, found, next)?;
        let bytes = content.len() as u64;
        (Body::Bytes(content.into()), None, bytes)
    } else {
        let path = &next.spool;
        let guard = Spooled(path.clone());
        let file = File::create(path).map_err(error::file("create", path))?;
        let file = encode(BufWriter::with_capacity(1 << 20, file), header, &pages, found, next)?;
        let bytes = spooled(file, path)?;
        (Body::File(path.clone()), Some(guard), bytes)
    };
    let wal_bytes = header.wal_size;
    let (txid, timestamp_ms, seen) = (next.txid, next.timestamp_ms, next.seen);
    Ok(Some((Batch { txid, timestamp_ms, body, file, bytes, seen, wal_bytes }, commit)))
}

/// Completes a file in the spool; its length.
pub(super) fn spooled(file: BufWriter<File>, path: &Path) -> Result<u64, CaptureError> {
    // No fsync: whatever is in the spool is made again after a crash.
    let file = file.into_inner().map_err(|e| error::file("write", path)(e.into_error()))?;
    Ok(file.metadata().map_err(error::file("look at", path))?.len())
}

fn encode<W: Write>(
    to: W,
    header: LtxHeader,
    pages: &BTreeMap<u32, usize>,
    found: &Found,
    next: &Next<'_>,
) -> Result<W, CaptureError> {
    let size = header.page_size as usize;
    let mut encoder = LtxEncoder::new(to, header)?;
    let lock = lock_page(header.page_size);
    // A page that the database has grown by and nobody has written is what the file holds.
    let grown = next.pages_before.saturating_add(1)..=header.commit;
    let mut missing = grown.filter(|p| *p != lock && !pages.contains_key(p)).peekable();
    let mut fill = vec![0; size];
    for (pgno, at) in pages {
        while let Some(gap) = missing.next_if(|gap| gap < pgno) {
            read_page(next.database, gap, &mut fill).map_err(read_failed)?;
            encoder.page(gap, &fill)?;
        }
        encoder.page(*pgno, &found.bytes[*at..*at + size])?;
    }
    for gap in missing {
        read_page(next.database, gap, &mut fill).map_err(read_failed)?;
        encoder.page(gap, &fill)?;
    }
    Ok(encoder.finish()?)
}

fn read_failed(source: io::Error) -> CaptureError {
    error::file("read pages of growth from", Path::new("the database file"))(source)
}

/// The page in the file; zeros beyond its end.
pub(super) fn read_page(file: &File, pgno: u32, page: &mut [u8]) -> io::Result<()> {
    let at = u64::from(pgno - 1) * page.len() as u64;
    let read = read_at_most(file, at, page)?;
    page[read..].fill(0);
    Ok(())
}

fn read_at_most(file: &File, at: u64, to: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < to.len() {
        match file.read_at(&mut to[read..], at + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}
