//! What a folder holds.

use std::fs::{DirEntry, File, Metadata};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ccm_types::Epoch;
use sha2::{Digest as _, Sha256};

use super::Dir;
use super::layout::{Entry, Layout, levels};
use crate::store::{LtxInfo, LtxName, Mark, Piece, StoreError, digest_text};

/// Times of files are no finer than this.
const TICK: Duration = Duration::from_millis(20);

/// Bytes in a piece.
const PIECE_LEN: u64 = 8 << 20;

impl Dir {
    /// Every name of every level, in no order.
    pub(super) fn entries(&self) -> Result<Vec<(Entry, DirEntry)>, StoreError> {
        let mut entries = Vec::new();
        for level in levels() {
            let folder = self.layout.level(level);
            let failed = |source| self.layout.failed("listing", &folder, source);
            let files = match std::fs::read_dir(&folder) {
                Ok(files) => files,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(source)),
            };
            for file in files {
                let file = file.map_err(failed)?;
                let entry = match file.file_name().to_str() {
                    Some(name) => Layout::entry(level, name),
                    None => Entry::Foreign,
                };
                entries.push((entry, file));
            }
        }
        Ok(entries)
    }

    /// All LTX files, ordered by name.
    pub(super) fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        let mut files = Vec::new();
        for (entry, file) in self.entries()? {
            let Entry::Object(name) = entry else { continue };
            let metadata = match file.metadata() {
                Ok(metadata) => metadata,
                // Deleted meanwhile.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(self.layout.failed("looking at", &file.path(), source)),
            };
            files.push(info(name, &metadata, self.epoch_of(name)));
        }
        files.sort_by_key(|file| file.name);
        Ok(files)
    }

    /// Which epoch has written an object; `None` for one of a stock Litestream.
    pub(super) fn epoch_of(&self, name: LtxName) -> Option<Epoch> {
        let said = std::fs::read_link(self.layout.epoch(name)).ok()?;
        said.to_str()?.parse().ok().map(Epoch::new)
    }

    pub(super) fn open(&self, name: LtxName) -> Result<(File, Metadata), StoreError> {
        let path = self.layout.object(name);
        let open = || {
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        };
        open().map_err(|source: io::Error| {
            if source.kind() == ErrorKind::NotFound {
                StoreError::NotFound { name }
            } else {
                self.layout.failed("reading", &path, source)
            }
        })
    }

    fn failed_read(&self, name: LtxName, source: io::Error) -> StoreError {
        self.layout.failed("reading", &self.layout.object(name), source)
    }

    /// The whole content.
    pub(super) fn get(&self, name: LtxName) -> Result<Bytes, StoreError> {
        let (mut file, metadata) = self.open(name)?;
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.read_to_end(&mut content).map_err(|e| self.failed_read(name, e))?;
        Ok(content.into())
    }

    /// The whole content into a file, fsynced; no file stays behind when it fails.
    pub(super) fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        let (mut from, _) = self.open(name)?;
        let mut copy = || {
            let mut to = File::create(path)?;
            io::copy(&mut from, &mut to)?;
            to.sync_all()
        };
        copy().map_err(|source| {
            std::fs::remove_file(path).ok();
            StoreError::File { path: path.to_path_buf(), source }
        })
    }

    /// The piece at `from`.
    pub(super) fn piece(&self, name: LtxName, from: Option<Mark>) -> Result<Piece, StoreError> {
        let (mut file, metadata) = self.open(name)?;
        let content = format!("{}-{}-{}", metadata.ino(), metadata.len(), metadata.mtime_nsec());
        let same = from.filter(|mark| mark.content == content && mark.offset <= metadata.len());
        let mark = same.unwrap_or_else(|| Mark::begin(&content));
        let mut read = || {
            file.seek(SeekFrom::Start(mark.offset))?;
            let mut chunk = Vec::new();
            (&file).take(PIECE_LEN).read_to_end(&mut chunk)?;
            Ok(chunk)
        };
        let chunk: Vec<u8> = read().map_err(|e| self.failed_read(name, e))?;
        let next = Mark { offset: mark.offset + chunk.len() as u64, ..mark.clone() };
        let last = (next.offset == metadata.len())
            .then(|| digest(&mut file))
            .transpose()
            .map_err(|e| self.failed_read(name, e))?;
        if last.is_none() && chunk.is_empty() {
            let why = format!("it ends at {} of {} bytes", next.offset, metadata.len());
            return Err(StoreError::Damaged { name, why });
        }
        Ok(Piece { offset: mark.offset, chunks: vec![chunk.into()], next, last })
    }

    /// When each level and the fence have changed; `None` for what is not there, and for what
    /// has changed so recently that one more change may have the same time.
    pub(super) fn stamps(&self) -> Vec<Option<SystemTime>> {
        let folders = levels().map(|level| self.layout.level(level));
        let paths = folders.chain([self.layout.fence()]);
        let stamps = paths.map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok());
        stamps.map(|stamp| stamp.filter(|at| at.elapsed().is_ok_and(|age| age > TICK))).collect()
    }
}

fn info(name: LtxName, metadata: &Metadata, epoch: Option<Epoch>) -> LtxInfo {
    let timestamp_ms = metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000;
    LtxInfo { name, size: metadata.len(), timestamp_ms, epoch }
}

/// The digest of the whole file.
pub(super) fn digest(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 18];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(digest_text(hash)),
            Ok(len) => hash.update(&chunk[..len]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
