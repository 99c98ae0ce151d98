//! The whole database as one LTX file, taken from a file that does not change meanwhile.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ccm_types::Txid;

use super::CaptureError;
use super::batch::read_page;
use crate::codec::{LtxEncoder, LtxHeader, lock_page};
use crate::wal::WalCursor;

/// Where SQLite's header keeps the page size.
const PAGE_SIZE_AT: u64 = 16;

/// What an image is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) page_size: u32,
    pub(super) pages: u32,
}

/// Page size and number of pages of a database file into which everything is checkpointed.
pub(super) fn shape(file: &File, path: &Path) -> Result<Shape, CaptureError> {
    let failed = |source| CaptureError::File { doing: "read", path: path.into(), source };
    let mut field = [0; 2];
    file.read_exact_at(&mut field, PAGE_SIZE_AT).map_err(failed)?;
    // 1 stands for 65536 (SQLite file format, section 1.3.2).
    let page_size = match u16::from_be_bytes(field) {
        1 => 65536,
        size => u32::from(size),
    };
    let odd = || failed(io::Error::other(format!("{page_size} is not a page size")));
    if !page_size.is_power_of_two() || page_size < 512 {
        return Err(odd());
    }
    let bytes = file.metadata().map_err(failed)?.len();
    let pages = u32::try_from(bytes / u64::from(page_size)).map_err(|_| odd())?;
    Ok(Shape { page_size, pages })
}

/// Which transactions an image stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) min: Txid,
    pub(super) max: Txid,
    pub(super) timestamp_ms: i64,
    /// Where the WAL ended when it was taken.
    pub(super) wal: Option<WalCursor>,
}

/// Writes the image to `to`, fsynced; stops when it is cancelled.
pub(super) fn write(
    file: &File,
    shape: Shape,
    range: Range,
    to: &Path,
    cancelled: &AtomicBool,
) -> Result<(), CaptureError> {
    let failed = |source| CaptureError::File { doing: "write", path: to.into(), source };
    let target = File::create(to).map_err(failed)?;
    let header = LtxHeader {
        page_size: shape.page_size,
        commit: shape.pages,
        min: range.min,
        max: range.max,
        timestamp_ms: range.timestamp_ms,
        // A stock Litestream cannot go on after an offset before the first frame.
        wal_offset: range.wal.map_or(32, |cursor| cursor.offset),
        wal_size: 0,
        wal_salt1: range.wal.map_or(0, |cursor| cursor.salt1),
        wal_salt2: range.wal.map_or(0, |cursor| cursor.salt2),
    };
    let mut encoder = LtxEncoder::new(BufWriter::with_capacity(1 << 20, target), header)?;
    let mut page = vec![0; shape.page_size as usize];
    let lock = lock_page(shape.page_size);
    for pgno in (1..=shape.pages).filter(|pgno| *pgno != lock) {
        if cancelled.load(Ordering::Relaxed) {
            return Err(failed(io::Error::from(io::ErrorKind::Interrupted)));
        }
        read_page(file, pgno, &mut page).map_err(failed)?;
        encoder.page(pgno, &page)?;
    }
    let target = encoder.finish()?.into_inner().map_err(|e| failed(e.into_error()))?;
    target.sync_all().map_err(failed)
}
