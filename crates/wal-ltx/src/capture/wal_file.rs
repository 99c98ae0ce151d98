//! The `-wal` of a database, read beside SQLite.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{self, CaptureError};
use crate::wal::{Commit, Scan, WAL_HEADER_LEN, WalCursor, WalHeader};

/// Bytes that are read at once, unless one transaction is larger.
const READ_MAX: u64 = 64 << 20;

/// The `-wal` of a database. Nobody but SQLite creates or removes it.
#[derive(Debug)]
pub(super) struct WalFile {
    path: PathBuf,
}

/// Committed transactions and the bytes they are in.
pub(super) struct Found {
    /// What the scan's frames are offsets into.
    pub(super) bytes: Vec<u8>,
    pub(super) scan: Scan,
}

impl WalFile {
    pub(super) fn of(data: &Path) -> Self {
        let mut path = data.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into() }
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

    /// The transactions after the cursor and before byte `end` of the WAL: about [`READ_MAX`]
    /// bytes, or one larger transaction.
    pub(super) fn commits(&self, cursor: &WalCursor, end: u64) -> Result<Found, CaptureError> {
        let mut at_most = READ_MAX;
        loop {
            let bytes = self.read(cursor.offset, at_most.min(end.saturating_sub(cursor.offset)))?;
            let scan = cursor.scan(&bytes);
            if !scan.commits.is_empty() || (bytes.len() as u64) < at_most {
                return Ok(Found { bytes, scan });
            }
            at_most *= 2;
        }
    }

    /// Walks over all transactions after the cursor and before byte `end`; where the last of
    /// them ends.
    pub(super) fn walk(
        &self,
        from: WalCursor,
        end: u64,
        mut visit: impl FnMut(u64, &Commit),
    ) -> Result<WalCursor, CaptureError> {
        let mut at = from;
        loop {
            let found = self.commits(&at, end)?;
            if found.scan.commits.is_empty() {
                return Ok(at);
            }
            found.scan.commits.iter().for_each(|commit| visit(at.offset, commit));
            at = found.scan.cursor;
        }
    }
}
