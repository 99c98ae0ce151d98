//! Objects on their way: small ones into memory, large ones through a file that a later attempt
//! goes on from.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::RestoreError;
use super::patience::Patience;
use super::pipe::{Closed, Feed};
use super::resume::Seen;
use crate::local::LocalError;
use crate::local::disk::{len, read_record, remove, write_record};
use crate::store::{LtxInfo, LtxStore, Mark, StoreError, digest_text};

/// Small objects that are downloaded at a time.
const CONCURRENCY: usize = 8;

/// Bytes of a large object after which it is written down how much of it is here.
const NOTE_EVERY: u64 = 32 << 20;

/// Bytes read back from a file at a time.
const READ_LEN: usize = 1 << 20;

/// Counts bytes that have come.
pub(crate) type Count<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Why a stream has ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nobody reads it any more, and says why.
    Closed,
    /// It could not go on.
    Failed(RestoreError),
}

impl From<Closed> for Broken {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<LocalError> for Broken {
    fn from(error: LocalError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<RestoreError> for Broken {
    fn from(error: RestoreError) -> Self {
        Self::Failed(error)
    }
}

/// Downloads small objects, several at a time; in the order given.
pub(super) async fn small<S: LtxStore>(
    store: &S,
    files: &[LtxInfo],
    stall: Duration,
    count: Count<'_>,
) -> Result<Vec<Bytes>, RestoreError> {
    let fetch = |info: LtxInfo| async move {
        let content = Patience::new(stall).insist(async || store.get(info.name).await).await?;
        count(content.len() as u64);
        Ok(content)
    };
    let fetches: Vec<_> = files.iter().cloned().map(fetch).collect();
    stream::iter(fetches).buffered(CONCURRENCY).try_collect().await
}

/// What is in the file of a large object.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    object: Seen,
    mark: Mark,
}

/// The file of a large object, and how much of it is sure to be there.
pub(super) struct Spool {
    path: PathBuf,
    record: PathBuf,
    object: Seen,
    file: File,
    noted: u64,
}

impl Spool {
    /// Opens the file for an object; what is there of another one is removed. Returns from where
    /// to go on.
    pub(super) async fn open(
        (path, record): (PathBuf, PathBuf),
        info: &LtxInfo,
    ) -> Result<(Self, Option<Mark>), LocalError> {
        let object = Seen::of(info);
        let kept: Option<Kept> = read_record(&record).unwrap_or_default();
        let there = len(&path)?.unwrap_or(0);
        let kept = kept.filter(|kept| kept.object == object && kept.mark.offset() <= there);
        let mark = kept.map(|kept| kept.mark);
        if mark.is_none() {
            remove(&record)?;
        }
        let failed = |doing| LocalError::io(doing, &path);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).await.map_err(failed("open"))?;
        let offset = mark.as_ref().map_or(0, Mark::offset);
        file.set_len(offset).await.map_err(failed("cut"))?;
        Ok((Self { path, record, object, file, noted: offset }, mark))
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(std::io::Error) -> LocalError + use<> {
        LocalError::io(doing, &self.path)
    }

    async fn append(&mut self, chunks: &[Bytes], next: &Mark) -> Result<(), LocalError> {
        for chunk in chunks {
            self.file.write_all(chunk).await.map_err(self.failed("write"))?;
        }
        if next.offset() >= self.noted + NOTE_EVERY {
            self.note(next).await?;
        }
        Ok(())
    }

    /// Writes down how much is here. A power loss may take away what is only in memory: the digest
    /// tells.
    async fn note(&mut self, mark: &Mark) -> Result<(), LocalError> {
        self.file.flush().await.map_err(self.failed("write"))?;
        write_record(&self.record, &Kept { object: self.object.clone(), mark: mark.clone() })?;
        self.noted = mark.offset();
        Ok(())
    }

    /// Removes the file and its record.
    fn discard(&self) -> Result<(), LocalError> {
        remove(&self.record)?;
        remove(&self.path)
    }
}

/// One large object from the store to a reader, its digest checked at the end.
pub(crate) struct Stream<'a, S> {
    pub(super) store: &'a S,
    pub(super) info: &'a LtxInfo,
    pub(super) stall: Duration,
    pub(super) count: Count<'a>,
    hash: Sha256,
}

impl<'a, S: LtxStore> Stream<'a, S> {
    pub(crate) fn new(store: &'a S, info: &'a LtxInfo, stall: Duration, count: Count<'a>) -> Self {
        Self { store, info, stall, count, hash: Sha256::new() }
    }

    /// Downloads everything.
    pub(crate) async fn run(mut self, feed: Feed) -> Result<(), Broken> {
        self.pieces(&feed, None, None).await?;
        Ok(feed.end().await?)
    }

    /// Downloads what is not in the file yet, and keeps it there until all of it is here.
    pub(super) async fn run_through(
        mut self,
        feed: Feed,
        files: (PathBuf, PathBuf),
    ) -> Result<(), Broken> {
        let (mut spool, mark) = Spool::open(files, self.info).await?;
        self.again(&feed, &mut spool, mark.as_ref()).await?;
        match self.pieces(&feed, Some(&mut spool), mark).await {
            Ok(()) => Ok(feed.end().await?),
            Err(broken) => {
                // Content that is wrong is not gone on from.
                if let Broken::Failed(RestoreError::Store(_)) = &broken {
                    spool.discard()?;
                }
                Err(broken)
            }
        }
    }

    /// Gives the reader what an earlier attempt has downloaded.
    async fn again(
        &mut self,
        feed: &Feed,
        spool: &mut Spool,
        mark: Option<&Mark>,
    ) -> Result<(), Broken> {
        let mut left = mark.map_or(0, Mark::offset);
        spool.file.rewind().await.map_err(spool.failed("read"))?;
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(READ_LEN).min(READ_LEN);
            let mut bytes = vec![0; len];
            spool.file.read_exact(&mut bytes).await.map_err(spool.failed("read"))?;
            left -= len as u64;
            self.take(feed, Bytes::from(bytes)).await?;
        }
        Ok(())
    }

    async fn pieces(
        &mut self,
        feed: &Feed,
        mut spool: Option<&mut Spool>,
        mut mark: Option<Mark>,
    ) -> Result<(), Broken> {
        let name = self.info.name;
        let mut patience = Patience::new(self.stall);
        loop {
            let asked = patience.insist(async || self.store.piece(name, mark.as_ref()).await);
            let piece = match asked.await {
                Ok(piece) => piece,
                Err(error) => {
                    if let (Some(spool), Some(mark)) = (&mut spool, &mark) {
                        spool.note(mark).await?;
                    }
                    return Err(Broken::Failed(error));
                }
            };
            if piece.offset != mark.as_ref().map_or(0, Mark::offset) {
                // It is another object by now: what came so far is of no use.
                return Err(RestoreError::Store(StoreError::NotFound { name }).into());
            }
            if let Some(spool) = &mut spool {
                spool.append(&piece.chunks, &piece.next).await?;
            }
            for chunk in piece.chunks {
                (self.count)(chunk.len() as u64);
                self.take(feed, chunk).await?;
            }
            if let Some(digest) = piece.last {
                return self.check(&digest);
            }
            mark = Some(piece.next);
        }
    }

    async fn take(&mut self, feed: &Feed, bytes: Bytes) -> Result<(), Closed> {
        self.hash.update(&bytes);
        feed.send(bytes).await
    }

    fn check(&mut self, expected: &str) -> Result<(), Broken> {
        let found = digest_text(std::mem::take(&mut self.hash));
        if found == expected {
            return Ok(());
        }
        let why = format!("digest {found} instead of {expected}");
        Err(RestoreError::Store(StoreError::Damaged { name: self.info.name, why }).into())
    }
}

/// How many bytes of a large object are here already.
pub(super) fn bytes_here(record: &Path, info: &LtxInfo) -> u64 {
    let kept: Option<Kept> = read_record(record).unwrap_or_default();
    kept.filter(|kept| kept.object == Seen::of(info)).map_or(0, |kept| kept.mark.offset())
}

/// Bytes that have come, for whoever reports them.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, bytes: u64) -> u64 {
        self.0.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
