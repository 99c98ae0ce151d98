//! The last file of the bucket, as proof of where a WAL goes on.
//!
//! Salts and length alone are no proof: an older copy of a database and its WAL that has come back
//! and has grown in another way has the same salts, and may have a commit at the same place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};

use super::error::{self, CaptureError};
use super::wal_file::WalFile;
use crate::codec::{LtxDecoder, LtxHeader, lock_page};
use crate::wal::{WAL_HEADER_LEN, WalCursor};

/// The level-0 file that ends where the bucket does.
#[derive(Debug, Clone)]
pub(super) struct Last {
    pub(super) header: LtxHeader,
    /// A checksum of each of its pages.
    pages: BTreeMap<u32, u64>,
}

impl Last {
    /// Reads and verifies a file.
    pub(super) fn read(content: impl Read) -> Result<Self, CaptureError> {
        let mut decoder = LtxDecoder::new(BufReader::new(content))?;
        let header = *decoder.header();
        let (mut pages, mut page) = (BTreeMap::new(), Vec::new());
        while let Some(pgno) = decoder.next_page(&mut page)? {
            pages.insert(pgno, sum(&page));
        }
        decoder.finish()?;
        Ok(Self { header, pages })
    }

    /// Where the WAL goes on after this file: behind the frames that it was made of, when they are
    /// what it holds. A file that covers no frames holds the whole database: then all frames
    /// before that place are compared.
    pub(super) fn end_in(&self, wal: &WalFile) -> Result<Option<WalCursor>, CaptureError> {
        let LtxHeader { wal_offset, wal_size, .. } = self.header;
        let end = wal_offset.saturating_add(wal_size);
        let Some(cursor) = wal.seek(end)? else { return Ok(None) };
        let first = WAL_HEADER_LEN as u64;
        let from = if wal_size == 0 || wal_offset == first { None } else { Some(wal_offset) };
        let start = match from {
            Some(offset) => wal.seek(offset)?,
            None => wal.header()?.map(|header| WalCursor::start(&header)),
        };
        let Some(start) = start else { return Ok(None) };
        let found = wal.walk(start, end, u64::MAX)?;
        let mut buffer = vec![0; self.header.page_size as usize];
        let lock = lock_page(self.header.page_size);
        for (pgno, at) in found.pages.iter().filter(|(pgno, _)| **pgno != lock) {
            if *pgno > self.header.commit {
                continue;
            }
            let page = found.page(*at, &mut buffer).map_err(error::file("read", wal.path()))?;
            if self.pages.get(pgno) != Some(&sum(page)) {
                return Ok(None);
            }
        }
        Ok(Some(cursor))
    }
}

/// A file in the spool, opened to be read as the last one.
pub(super) fn from_file(path: &std::path::Path) -> Result<Last, CaptureError> {
    Last::read(File::open(path).map_err(error::file("open", path))?)
}

fn sum(page: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, page)
}
