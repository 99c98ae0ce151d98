//! Committed frames of the WAL as one LTX file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ccm_types::{Monotonic, Txid};

use super::CaptureError;
use crate::codec::{LtxEncoder, LtxHeader, lock_page};
use crate::store::Body;
use crate::wal::{WAL_HEADER_LEN, WalCursor, WalHeader};

/// Bytes of the WAL that one file takes, unless one transaction is larger.
const READ_MAX: u64 = 64 << 20;

/// The `-wal` of a database.
#[derive(Debug)]
pub(super) struct WalFile {
    path: PathBuf,
}

/// One group of commits on its way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) txid: Txid,
    pub(super) timestamp_ms: i64,
    pub(super) body: Body,
    /// Length of the body.
    pub(super) bytes: u64,
    /// A file to remove when it is shipped.
    pub(super) spooled: Option<PathBuf>,
    /// When its oldest commit was seen.
    pub(super) seen: Monotonic,
    /// Bytes of the WAL it covers.
    pub(super) wal_bytes: u64,
}

impl WalFile {
    pub(super) fn of(data: &Path) -> Self {
        let mut path = data.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into() }
    }

    fn failed(&self, source: io::Error) -> CaptureError {
        CaptureError::File { doing: "read", path: self.path.clone(), source }
    }

    /// Length in bytes; 0 without a WAL.
    pub(super) fn len(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// The header, if there is a whole and valid one.
    pub(super) fn header(&self) -> Result<Option<WalHeader>, CaptureError> {
        let mut bytes = [0; WAL_HEADER_LEN];
        let read = File::open(&self.path).and_then(|mut file| file.read_exact(&mut bytes));
        match read {
            // A header that is being written does not match its checksum yet.
            Ok(()) => Ok(WalHeader::parse(&bytes).ok()),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) =>
            {
                Ok(None)
            }
            Err(e) => Err(self.failed(e)),
        }
    }

    /// `at_most` bytes from `offset` on.
    pub(super) fn read(&self, offset: u64, at_most: u64) -> Result<Vec<u8>, CaptureError> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.take(at_most).read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(bytes),
            Err(e) => Err(self.failed(e)),
        }
    }
}

/// What the next file needs beside the WAL.
pub(super) struct Next<'a> {
    pub(super) txid: Txid,
    pub(super) timestamp_ms: i64,
    pub(super) seen: Monotonic,
    /// Pages of the database before.
    pub(super) pages_before: u32,
    pub(super) database: &'a File,
}

/// Reads what is committed after the cursor; the cursor and the number of pages after it.
pub(super) fn next_batch(
    wal: &WalFile,
    cursor: &WalCursor,
    next: &Next<'_>,
) -> Result<Option<(Batch, WalCursor, u32)>, CaptureError> {
    let mut at_most = READ_MAX;
    let (bytes, scan) = loop {
        let bytes = wal.read(cursor.offset, at_most)?;
        let scan = cursor.scan(&bytes);
        let more = bytes.len() as u64 == at_most;
        if !scan.commits.is_empty() || !more {
            break (bytes, scan);
        }
        at_most *= 2;
    };
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
    let content = encode(header, &pages, &bytes, next)?;
    let batch = Batch {
        txid: next.txid,
        timestamp_ms: next.timestamp_ms,
        bytes: content.len() as u64,
        body: Body::Bytes(content.into()),
        spooled: None,
        seen: next.seen,
        wal_bytes: header.wal_size,
    };
    Ok(Some((batch, scan.cursor, commit)))
}

fn encode(
    header: LtxHeader,
    pages: &BTreeMap<u32, usize>,
    bytes: &[u8],
    next: &Next<'_>,
) -> Result<Vec<u8>, CaptureError> {
    let size = header.page_size as usize;
    let mut encoder = LtxEncoder::new(Vec::new(), header)?;
    let lock = lock_page(header.page_size);
    // A page that the database has grown by and nobody has written is what the file holds.
    let grown = next.pages_before.saturating_add(1)..=header.commit;
    let missing: Vec<u32> = grown.filter(|p| *p != lock && !pages.contains_key(p)).collect();
    let mut missing = missing.into_iter().peekable();
    let mut fill = vec![0; size];
    for (pgno, at) in pages {
        while let Some(gap) = missing.next_if(|gap| gap < pgno) {
            read_page(next.database, gap, &mut fill).map_err(read_failed)?;
            encoder.page(gap, &fill)?;
        }
        encoder.page(*pgno, &bytes[*at..*at + size])?;
    }
    for gap in missing {
        read_page(next.database, gap, &mut fill).map_err(read_failed)?;
        encoder.page(gap, &fill)?;
    }
    Ok(encoder.finish()?)
}

fn read_failed(source: io::Error) -> CaptureError {
    CaptureError::File { doing: "read the database beside", path: PathBuf::from("-wal"), source }
}

/// The page in the file; zeros beyond its end.
pub(super) fn read_page(file: &File, pgno: u32, page: &mut [u8]) -> io::Result<()> {
    page.fill(0);
    let mut at = u64::from(pgno - 1) * page.len() as u64;
    let mut rest = page;
    while !rest.is_empty() {
        match file.read_at(rest, at)? {
            0 => return Ok(()),
            n => {
                at += n as u64;
                rest = &mut rest[n..];
            }
        }
    }
    Ok(())
}
