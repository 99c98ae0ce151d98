//! The database that is being made: pages out of LTX files into it, oldest file first.
//!
//! A page that several files contain is written again with each of them. Newest file first would
//! write it once, but every page has to be decompressed for the checksums all the same: with
//! increments of twice the database's size that saves a third of the time at most, and less the
//! fewer pages are in several files. In order, a restore that goes on needs no more than the
//! position.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccm_types::Txid;

use super::RestoreError;
use crate::codec::{LtxDecoder, LtxHeader};
use crate::local::LocalError;
use crate::store::LtxInfo;

/// Permissions of the database: it holds what the cluster's does.
const MODE: u32 = 0o600;

/// Bytes read from a file at a time.
const READ_LEN: usize = 64 << 10;

/// Bytes of consecutive pages that are written at a time.
const RUN_LEN: usize = 256 << 10;

/// What a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The last transaction in it.
    pub(crate) txid: Txid,
    /// Page size in bytes.
    pub(crate) page_size: u32,
    /// Size in pages.
    pub(crate) pages: u32,
}

/// A database that is being made. Blocks.
#[derive(Debug)]
pub(crate) struct Image {
    file: File,
    path: PathBuf,
    /// What it is; `None` before the first file is in it.
    shape: Option<Shape>,
    /// What pages were before they are written over, when somebody wants to know.
    saved: Option<Saved>,
    /// The thread that writes may outlive its task.
    _lock: Arc<File>,
}

impl Image {
    /// An empty one.
    pub(crate) fn create(path: &Path, lock: Arc<File>) -> Result<Self, LocalError> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(MODE);
        let file = options.open(path).map_err(LocalError::io("create", path))?;
        Ok(Self { file, path: path.to_path_buf(), shape: None, saved: None, _lock: lock })
    }

    /// One that an earlier attempt has left as this shape.
    pub(crate) fn open(path: &Path, lock: Arc<File>, shape: Shape) -> Result<Self, LocalError> {
        let opened = File::options().read(true).write(true).open(path);
        let file = opened.map_err(LocalError::io("open", path))?;
        Ok(Self { file, path: path.to_path_buf(), shape: Some(shape), saved: None, _lock: lock })
    }

    pub(crate) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// Keeps from now on what pages were, unless it is kept already.
    pub(crate) fn save(&mut self, saved: Option<Saved>) {
        self.saved = saved;
    }

    /// What pages were.
    pub(crate) fn take_saved(&mut self) -> Option<Saved> {
        self.saved.take()
    }

    /// One page as it is; `None` beyond the end.
    pub(crate) fn page(&self, pgno: u32) -> io::Result<Option<Vec<u8>>> {
        let Some(shape) = self.shape.filter(|shape| pgno <= shape.pages) else { return Ok(None) };
        let mut page = vec![0; shape.page_size as usize];
        Ok(self.read_page(pgno, &mut page)?.then_some(page))
    }

    /// Keeps a page that is about to change.
    fn keep(&mut self, pgno: u32) -> io::Result<()> {
        let Some(mut saved) = self.saved.take() else { return Ok(()) };
        if saved.lacks(pgno) {
            saved.insert(pgno, self.page(pgno)?);
        }
        self.saved = Some(saved);
        Ok(())
    }

    /// Reads one page; `None` beyond the end.
    pub(crate) fn read_page(&self, pgno: u32, page: &mut [u8]) -> io::Result<bool> {
        let at = (u64::from(pgno) - 1) * page.len() as u64;
        match self.file.read_exact_at(page, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the pages of one file and proves its content on the way. After a failure, pages of
    /// it may be in the database: only files that lead as far make it one again.
    pub(crate) fn apply(
        &mut self,
        info: &LtxInfo,
        content: impl Read,
    ) -> Result<Shape, RestoreError> {
        let damaged = |source| RestoreError::Damaged { name: info.name, source };
        let reader = BufReader::with_capacity(READ_LEN, content);
        let mut decoder = LtxDecoder::new(reader).map_err(damaged)?;
        let header = *decoder.header();
        self.check_fit(info, &header)?;
        let path = self.path.clone();
        let failed = |error| RestoreError::Local(LocalError::io("write", &path)(error));
        let mut run = Run { page_size: header.page_size, next: 0, bytes: Vec::new() };
        let mut page = Vec::new();
        while let Some(pgno) = decoder.next_page(&mut page).map_err(damaged)? {
            self.keep(pgno).map_err(failed)?;
            run.push(&self.file, pgno, &page).map_err(failed)?;
        }
        run.flush(&self.file).map_err(failed)?;
        decoder.finish().map_err(damaged)?;
        let before = self.shape.map_or(0, |shape| shape.pages);
        (header.commit + 1..=before).try_for_each(|cut| self.keep(cut)).map_err(failed)?;
        let len = u64::from(header.commit) * u64::from(header.page_size);
        self.file.set_len(len).map_err(failed)?;
        let shape = Shape { txid: header.max, page_size: header.page_size, pages: header.commit };
        self.shape = Some(shape);
        Ok(shape)
    }

    fn check_fit(&self, info: &LtxInfo, header: &LtxHeader) -> Result<(), RestoreError> {
        let unfit = |why| Err(RestoreError::Unfit { name: info.name, why });
        let (min, max) = (header.min, header.max);
        if (min, max) != (info.name.min, info.name.max) {
            return unfit(format!("it contains transactions {min} to {max}"));
        }
        let Some(shape) = self.shape else {
            return if header.is_snapshot() {
                Ok(())
            } else {
                unfit(String::from("it does not contain the whole database"))
            };
        };
        if header.page_size != shape.page_size {
            let (is, was) = (header.page_size, shape.page_size);
            return unfit(format!("its page size is {is}, that of the database {was}"));
        }
        if min > shape.txid.next() || max <= shape.txid {
            return unfit(format!("it does not follow transaction {}", shape.txid));
        }
        Ok(())
    }

    /// Makes everything durable but the name.
    pub(crate) fn sync(&self) -> Result<(), LocalError> {
        self.file.sync_all().map_err(LocalError::io("sync", &self.path))
    }
}

/// Pages as they were: their content, `None` beyond the end.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pages: BTreeMap<u32, Option<Vec<u8>>>,
    bytes: usize,
}

impl Saved {
    /// Bytes that are kept.
    const MAX: usize = 64 << 20;

    pub(crate) fn insert(&mut self, pgno: u32, content: Option<Vec<u8>>) {
        if !self.is_full() {
            self.bytes += content.as_ref().map_or(0, Vec::len);
            self.pages.insert(pgno, content);
        }
    }

    fn lacks(&self, pgno: u32) -> bool {
        !self.pages.contains_key(&pgno)
    }

    /// Some pages are not kept: there were too many.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= Self::MAX
    }

    /// The pages that are other ones in this image.
    pub(crate) fn differing(&self, image: &Image) -> io::Result<Vec<u32>> {
        let mut found = Vec::new();
        for (pgno, content) in &self.pages {
            if image.page(*pgno)? != *content {
                found.push(*pgno);
            }
        }
        Ok(found)
    }

    /// Keeps only these.
    pub(crate) fn retain(&mut self, pgnos: &[u32]) {
        self.pages.retain(|pgno, _| pgnos.contains(pgno));
    }
}

/// Consecutive pages on their way into the file.
struct Run {
    page_size: u32,
    /// The page after the last one; 0 when there is none.
    next: u32,
    bytes: Vec<u8>,
}

impl Run {
    fn push(&mut self, file: &File, pgno: u32, page: &[u8]) -> io::Result<()> {
        if pgno != self.next || self.bytes.len() >= RUN_LEN {
            self.flush(file)?;
        }
        self.bytes.extend_from_slice(page);
        self.next = pgno + 1;
        Ok(())
    }

    fn flush(&mut self, file: &File) -> io::Result<()> {
        if !self.bytes.is_empty() {
            let end = u64::from(self.next - 1) * u64::from(self.page_size);
            file.write_all_at(&self.bytes, end - self.bytes.len() as u64)?;
            self.bytes.clear();
        }
        Ok(())
    }
}
