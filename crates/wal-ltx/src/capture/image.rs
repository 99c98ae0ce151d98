//! The whole database as one LTX file, while the application goes on.
//!
//! The reader's transaction keeps the picture still: either everything is in the database file,
//! which nobody can change then, or the WAL up to the picture's end stays as it is and is laid
//! over the file. Pages that a checkpoint writes meanwhile are among those that the WAL covers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccm_types::Txid;
use tokio_util::sync::CancellationToken;

use super::batch::{Spooled, read_page, spooled};
use super::error::{self, CaptureError};
use crate::codec::{LtxEncoder, LtxHeader, lock_page};
use crate::wal::WalCursor;

/// Where every page of a database is at one moment.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) database: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) page_size: u32,
    pub(super) pages: u32,
    /// The WAL, and where in it pages are that the file may lack.
    pub(super) overlay: Option<(File, BTreeMap<u32, u64>)>,
    /// Where the WAL ended.
    pub(super) end: Option<WalCursor>,
}

/// Which transactions an image stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) min: Txid,
    pub(super) max: Txid,
    pub(super) timestamp_ms: i64,
}

/// Writes the image to `to`; `None` when it was cancelled, else the file and its length.
pub(super) fn write(
    picture: &Picture,
    range: Range,
    to: &Path,
    cancel: &CancellationToken,
) -> Result<Option<(Spooled, u64)>, CaptureError> {
    let spool = Spooled(to.to_path_buf());
    let target = File::create(to).map_err(error::file("create", to))?;
    let end = picture.end;
    let header = LtxHeader {
        page_size: picture.page_size,
        commit: picture.pages,
        min: range.min,
        max: range.max,
        timestamp_ms: range.timestamp_ms,
        // A stock Litestream cannot go on after an offset before the first frame.
        wal_offset: end.map_or(32, |cursor| cursor.offset),
        wal_size: 0,
        wal_salt1: end.map_or(0, |cursor| cursor.salt1),
        wal_salt2: end.map_or(0, |cursor| cursor.salt2),
    };
    let mut encoder = LtxEncoder::new(BufWriter::with_capacity(1 << 20, target), header)?;
    let mut page = vec![0; picture.page_size as usize];
    let lock = lock_page(picture.page_size);
    for pgno in (1..=picture.pages).filter(|pgno| *pgno != lock) {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        picture.read(pgno, &mut page)?;
        encoder.page(pgno, &page)?;
    }
    Ok(Some((spool, spooled(encoder.finish()?, to)?)))
}

impl Picture {
    fn read(&self, pgno: u32, page: &mut [u8]) -> Result<(), CaptureError> {
        let over = self.overlay.as_ref().and_then(|(wal, pages)| Some((wal, pages.get(&pgno)?)));
        let read = match over {
            Some((wal, at)) => wal.read_exact_at(page, *at),
            None => read_page(&self.database, pgno, page),
        };
        read.map_err(error::file("read", &self.path))
    }
}
