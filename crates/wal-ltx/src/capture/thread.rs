//! The thread: it alone touches SQLite and decides what the next file is.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccm_types::{BootClock, Monotonic, Txid};
use tokio::sync::{mpsc, oneshot, watch};

use super::batch::{Batch, Next, WalFile, next_batch};
use super::image::{self, Range};
use super::ship::Shipment;
use super::sqlite::Database;
use super::wake::Waker;
use super::{CaptureConfig, CaptureEnd, CaptureError, CaptureProgress, Messages};
use crate::codec::LtxHeader;
use crate::store::{Body, Level, LtxName};
use crate::wal::{WAL_HEADER_LEN, WalCursor};

/// How often the whole database is tried to be taken before capture gives up.
const IMAGE_TRIES: u32 = 20;

/// Where the chain in the bucket ends.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) tip: Txid,
    pub(super) last: Option<LtxHeader>,
    pub(super) at_base: bool,
    pub(super) has_snapshot: bool,
}

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// The bucket has this transaction.
    Shipped(Txid),
    /// The image of a snapshot is written.
    ImageDone(Result<Shipment, String>),
    /// The snapshot is stored, or given up.
    SnapshotDone,
    /// Ship everything and end.
    Flush(oneshot::Sender<Result<Txid, CaptureError>>),
    /// End.
    Abandon,
}

/// What the thread is made of.
pub(super) struct Parts {
    pub(super) config: CaptureConfig,
    pub(super) begin: Begin,
    pub(super) waker: Arc<Waker>,
    pub(super) inbox: Receiver<Message>,
    pub(super) to_ship: mpsc::Sender<Shipment>,
    pub(super) progress: Arc<watch::Sender<CaptureProgress>>,
}

/// What a look at the WAL gave.
enum Read {
    Batch,
    Nothing,
    /// The chain does not go on: the WAL started over without us.
    Broken,
}

/// What a snapshot is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshot {
    None,
    /// The image is being written: the database file must not change.
    Imaging,
    /// It is on its way.
    Shipping,
}

pub(super) struct Thread {
    parts: Parts,
    messages: Messages,
    database: Rc<Database>,
    wal: WalFile,
    /// Where the next commit is read; `None` before the WAL's first header.
    cursor: Option<WalCursor>,
    /// Everything up to the cursor is in the database file: the WAL may start over.
    sealed: bool,
    pages: u32,
    next: Txid,
    queue: VecDeque<Batch>,
    in_flight: Option<(Txid, Monotonic, u64)>,
    /// When commits were seen that are not in a batch yet.
    noticed: Option<Monotonic>,
    flushes: Vec<oneshot::Sender<Result<Txid, CaptureError>>>,
    snapshot: Snapshot,
    snapshot_at: Monotonic,
    snapshot_of: Txid,
    /// No checkpoint before the WAL has reached this offset.
    checkpoint_after: u64,
    imaging: Option<JoinHandle<()>>,
    cancel_image: Arc<AtomicBool>,
}

impl Thread {
    /// Runs until it is told to end.
    pub(super) fn run(
        parts: Parts,
        messages: Messages,
        ready: oneshot::Sender<Result<(), CaptureError>>,
    ) {
        let progress = Arc::clone(&parts.progress);
        let mut thread = match Self::begin(parts, messages) {
            Ok(thread) => thread,
            Err(error) => {
                // Whoever started it may have given up.
                ready.send(Err(error)).ok();
                return;
            }
        };
        ready.send(Ok(())).ok();
        if let Err(error) = thread.work() {
            let why = error.to_string();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let why = source.map_or(why.clone(), |source| format!("{why}: {source}"));
            progress.send_modify(|p| p.ended = Some(CaptureEnd { fenced: false, why }));
        }
    }

    fn begin(parts: Parts, messages: Messages) -> Result<Self, CaptureError> {
        let database = Rc::new(Database::open(&parts.config.data)?);
        let wal = WalFile::of(&parts.config.data);
        let next = parts.begin.tip.next();
        let shape = image::shape(database.file(), &parts.config.data);
        let interval = parts.config.snapshot_interval;
        let now = BootClock.now();
        let mut thread = Self {
            snapshot_at: if parts.begin.has_snapshot { now + interval } else { now },
            snapshot_of: Txid::ZERO,
            parts,
            messages,
            database,
            wal,
            cursor: None,
            sealed: false,
            pages: shape.map_or(0, |shape| shape.pages),
            next,
            queue: VecDeque::new(),
            in_flight: None,
            noticed: None,
            flushes: Vec::new(),
            snapshot: Snapshot::None,
            checkpoint_after: 0,
            imaging: None,
            cancel_image: Arc::default(),
        };
        if !thread.resume()? {
            thread.whole()?;
        }
        Ok(thread)
    }

    /// Finds the place in the WAL where the chain of the bucket ends.
    fn resume(&mut self) -> Result<bool, CaptureError> {
        let begin = &self.parts.begin;
        let header = self.wal.header()?;
        if begin.at_base && header.is_none() {
            self.sealed = true;
            return Ok(true);
        }
        let (Some(last), Some(header)) = (begin.last, header) else { return Ok(false) };
        if (last.wal_salt1, last.wal_salt2) != (header.salt1, header.salt2) {
            return Ok(false);
        }
        let end = last.wal_offset + last.wal_size;
        let start = WAL_HEADER_LEN as u64;
        if end < start {
            return Ok(false);
        }
        let bytes = self.wal.read(start, end - start)?;
        let Some(cursor) = WalCursor::seek(&header, &bytes, end) else { return Ok(false) };
        self.cursor = Some(cursor);
        self.pages = last.commit;
        Ok(true)
    }

    fn work(&mut self) -> Result<(), CaptureError> {
        loop {
            if self.hear()? {
                return Ok(());
            }
            self.read()?;
            self.ship();
            self.tidy()?;
            self.tell();
            if self.flushed() {
                return Ok(());
            }
            let pending = !self.queue.is_empty() && self.in_flight.is_none();
            let within = if pending { Duration::ZERO } else { self.parts.config.poll };
            self.parts.waker.wait(within);
        }
    }

    /// Takes all messages in; `true` when it is to end.
    fn hear(&mut self) -> Result<bool, CaptureError> {
        loop {
            match self.parts.inbox.try_recv() {
                Ok(Message::Shipped(txid)) => {
                    if self.in_flight.is_some_and(|(flying, ..)| flying == txid) {
                        self.in_flight = None;
                    }
                }
                Ok(Message::ImageDone(Ok(shipment))) => {
                    self.imaging = None;
                    self.snapshot = Snapshot::Shipping;
                    if self.parts.to_ship.blocking_send(shipment).is_err() {
                        return Ok(true);
                    }
                }
                Ok(Message::ImageDone(Err(why))) => {
                    tracing::warn!(%why, "the snapshot was not made");
                    self.snapshot = Snapshot::None;
                }
                Ok(Message::SnapshotDone) => self.snapshot = Snapshot::None,
                Ok(Message::Flush(reply)) => self.flushes.push(reply),
                Ok(Message::Abandon) | Err(TryRecvError::Disconnected) => return Ok(true),
                Err(TryRecvError::Empty) => return Ok(false),
            }
        }
    }

    /// Makes the next file when nothing is on its way.
    fn read(&mut self) -> Result<(), CaptureError> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        if self.in_flight.is_some() {
            let at = self.cursor.map_or(WAL_HEADER_LEN as u64, |c| c.offset);
            if self.noticed.is_none() && self.wal.len() > at {
                self.noticed = Some(BootClock.now());
            }
            return Ok(());
        }
        match self.read_one()? {
            Read::Batch => Ok(()),
            Read::Nothing => {
                self.noticed = None;
                Ok(())
            }
            Read::Broken => {
                tracing::warn!(
                    "the WAL started over without ccm: shipping the whole database; does something \
                     else checkpoint it?"
                );
                self.whole()
            }
        }
    }

    /// Reads one group of commits into the queue.
    fn read_one(&mut self) -> Result<Read, CaptureError> {
        let Some(header) = self.wal.header()? else {
            // No WAL: nothing was committed, or it went without us.
            let fresh = self.cursor.is_none_or(|c| c.offset == WAL_HEADER_LEN as u64);
            return Ok(if self.sealed || fresh { Read::Nothing } else { Read::Broken });
        };
        let same = self.cursor.filter(|c| (c.salt1, c.salt2) == (header.salt1, header.salt2));
        let cursor = match same {
            Some(cursor) if self.wal.len() >= cursor.offset => cursor,
            None if self.sealed => WalCursor::start(&header),
            Some(_) | None => return Ok(Read::Broken),
        };
        let next = Next {
            txid: self.next,
            timestamp_ms: now_ms(),
            seen: self.noticed.unwrap_or_else(|| BootClock.now()),
            pages_before: self.pages,
            database: self.database.file(),
        };
        let Some((batch, cursor, pages)) = next_batch(&self.wal, &cursor, &next)? else {
            return Ok(Read::Nothing);
        };
        self.cursor = Some(cursor);
        self.sealed = false;
        self.noticed = None;
        self.pages = pages;
        self.next = self.next.next();
        self.queue.push_back(batch);
        Ok(Read::Batch)
    }

    fn ship(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        let Some(batch) = self.queue.pop_front() else { return };
        self.in_flight = Some((batch.txid, batch.seen, batch.wal_bytes));
        let shipment = Shipment {
            name: LtxName { level: Level::L0, min: batch.txid, max: batch.txid },
            timestamp_ms: batch.timestamp_ms,
            body: batch.body,
            bytes: batch.bytes,
            spooled: batch.spooled,
        };
        // A shipper that has ended has said why.
        self.parts.to_ship.blocking_send(shipment).ok();
    }

    /// Checkpoints a long WAL and takes a snapshot when one is due.
    fn tidy(&mut self) -> Result<(), CaptureError> {
        if self.snapshot == Snapshot::Imaging || !self.flushes.is_empty() {
            return Ok(());
        }
        let now = BootClock.now();
        let tip = Txid::new(self.next.get() - 1);
        let due = self.snapshot == Snapshot::None
            && now >= self.snapshot_at
            && tip > self.snapshot_of
            && tip > Txid::ZERO;
        let frame = self.cursor.map_or(4096 + 24, |c| c.frame_len() as u64);
        let long = self.wal.len() > frame * u64::from(self.parts.config.checkpoint_pages);
        let worth = self.cursor.is_some_and(|c| c.offset > self.checkpoint_after) && !self.sealed;
        if !self.queue.is_empty() || !(long && worth || due) {
            return Ok(());
        }
        if self.checkpoint()? && due {
            self.image()?;
        }
        Ok(())
    }

    /// Nobody commits; everything that is committed is read; then the WAL goes into the file.
    /// `true` when all of it did.
    fn checkpoint(&mut self) -> Result<bool, CaptureError> {
        let database = Rc::clone(&self.database);
        let Some(locked) = database.lock()? else { return Ok(false) };
        loop {
            match self.read_one()? {
                Read::Batch => {}
                Read::Nothing => break,
                Read::Broken => return Ok(false),
            }
        }
        let whole = database.checkpoint(&locked)?;
        if whole {
            self.sealed = true;
        } else {
            // An application reads an old state: more must come before it is worth another try.
            let quarter = u64::from(self.parts.config.checkpoint_pages / 4) * 4096;
            self.checkpoint_after = self.cursor.map_or(0, |c| c.offset) + quarter;
        }
        Ok(whole)
    }

    /// Ships the whole database as the next transaction.
    fn whole(&mut self) -> Result<(), CaptureError> {
        for _ in 0..IMAGE_TRIES {
            if self.seal_anew()? {
                let path = self.spool("whole");
                let shape = image::shape(self.database.file(), &self.parts.config.data)?;
                let range = Range {
                    min: self.next,
                    max: self.next,
                    timestamp_ms: now_ms(),
                    wal: self.cursor,
                };
                let file = self.database.file();
                image::write(file, shape, range, &path, &AtomicBool::new(false))?;
                let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
                self.queue.push_back(Batch {
                    txid: self.next,
                    timestamp_ms: range.timestamp_ms,
                    body: Body::File(path.clone()),
                    bytes,
                    spooled: Some(path),
                    seen: self.noticed.take().unwrap_or_else(|| BootClock.now()),
                    wal_bytes: bytes,
                });
                self.pages = shape.pages;
                self.next = self.next.next();
                return Ok(());
            }
            self.parts.waker.wait(self.parts.config.poll);
        }
        Err(self.database.busy())
    }

    /// Copies the whole WAL into the file and begins a new chain at its end.
    fn seal_anew(&mut self) -> Result<bool, CaptureError> {
        let database = Rc::clone(&self.database);
        let Some(locked) = database.lock()? else { return Ok(false) };
        if !database.checkpoint(&locked)? {
            return Ok(false);
        }
        self.cursor = match self.wal.header()? {
            Some(header) => {
                let bytes = self.wal.read(WAL_HEADER_LEN as u64, u64::MAX)?;
                Some(WalCursor::start(&header).scan(&bytes).cursor)
            }
            None => None,
        };
        self.sealed = true;
        Ok(true)
    }

    /// Writes the image of a snapshot beside the stream of commits.
    fn image(&mut self) -> Result<(), CaptureError> {
        let tip = Txid::new(self.next.get() - 1);
        let shape = image::shape(self.database.file(), &self.parts.config.data)?;
        let range = Range { min: Txid::new(1), max: tip, timestamp_ms: now_ms(), wal: self.cursor };
        let path = self.spool("snapshot");
        let file = Arc::clone(self.database.file());
        let messages = self.messages.clone();
        let cancelled = Arc::clone(&self.cancel_image);
        let spawned =
            std::thread::Builder::new().name(String::from("ccm snapshot")).spawn(move || {
                let written = image::write(&file, shape, range, &path, &cancelled);
                drop(file);
                let name = LtxName { level: Level::SNAPSHOT, min: range.min, max: range.max };
                messages.send(Message::ImageDone(match written {
                    Ok(()) => Ok(Shipment {
                        name,
                        timestamp_ms: range.timestamp_ms,
                        body: Body::File(path.clone()),
                        bytes: 0,
                        spooled: Some(path),
                    }),
                    Err(error) => Err(error.to_string()),
                }));
            });
        self.imaging = Some(spawned.map_err(|source| CaptureError::File {
            doing: "start a thread to read",
            path: self.parts.config.data.clone(),
            source,
        })?);
        self.snapshot = Snapshot::Imaging;
        self.snapshot_of = tip;
        self.snapshot_at = BootClock.now() + self.parts.config.snapshot_interval;
        Ok(())
    }

    fn spool(&self, what: &str) -> PathBuf {
        self.parts.config.spool.join(format!("{what}-{}.ltx", self.next.to_hex()))
    }

    fn tell(&self) {
        let flying = self.in_flight.map(|(_, seen, bytes)| (seen, bytes));
        let queued = self.queue.iter().map(|batch| (batch.seen, batch.wal_bytes));
        let waiting: Vec<(Monotonic, u64)> = flying.into_iter().chain(queued).collect();
        let unshipped_bytes = waiting.iter().map(|(_, bytes)| bytes).sum();
        let oldest_unshipped = waiting.iter().map(|(seen, _)| *seen).min().or(self.noticed);
        self.parts.progress.send_if_modified(|p| {
            let changed =
                (p.unshipped_bytes, p.oldest_unshipped) != (unshipped_bytes, oldest_unshipped);
            p.unshipped_bytes = unshipped_bytes;
            p.oldest_unshipped = oldest_unshipped;
            changed
        });
    }

    /// Answers a flush when there is nothing left to ship; `true` when it is to end.
    fn flushed(&mut self) -> bool {
        if self.flushes.is_empty() || !self.queue.is_empty() || self.in_flight.is_some() {
            return false;
        }
        // What was committed between the last look and the flush.
        if !matches!(self.read_one(), Ok(Read::Nothing)) {
            self.parts.waker.wake();
            return false;
        }
        let tip = Txid::new(self.next.get() - 1);
        for reply in std::mem::take(&mut self.flushes) {
            // Whoever asked may have given up.
            reply.send(Ok(tip)).ok();
        }
        true
    }
}

impl Drop for Thread {
    /// The image's descriptor must be closed before the connections of another capture open.
    fn drop(&mut self) {
        self.cancel_image.store(true, Ordering::Relaxed);
        if let Some(imaging) = self.imaging.take()
            && imaging.join().is_err()
        {
            tracing::error!("the thread of a snapshot has died");
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
