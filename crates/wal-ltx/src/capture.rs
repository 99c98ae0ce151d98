//! The primary side: what the application commits goes into the bucket, as it is committed.
//!
//! A thread owns the SQLite connections. It holds a read transaction, so that nobody else can
//! restart the WAL, reads committed frames as they are written (inotify, a poll as backstop) and
//! makes one LTX file of every group of commits. A task puts one file at a time under the fence;
//! while it is on its way commits gather for the next one.
//!
//! Under the write lock, when nobody can commit, everything that is committed is captured, the
//! WAL is checkpointed and the reader takes hold of that state: the chain is sealed. The WAL may
//! start over once after that, and the chain goes on in it. A WAL that started over in any other
//! way breaks the chain: the whole database becomes the next transaction. Checkpoints of others
//! do no harm while the capture runs; they cannot restart the WAL before it is captured.
//!
//! SQLite's own count of frames proves at every seal, once a second when nothing happens, and at
//! the end that what was captured is what was committed.
//!
//! A commit that comes alone is shipped at once; of a stream of them a file is made every few
//! milliseconds, and its writer is not looked at meanwhile.
//!
//! Bounds: a file takes 16 MiB of the WAL or one larger transaction; above 4 MiB it is made in
//! the spool. During an outage up to 1024 files and 1 GiB wait in the spool, then the WAL grows.
//! An application that commits faster than the bucket takes it is held back from half of that on,
//! and from a WAL of a sixteenth of it on, up to 50 ms at a time: see `brake`.
//! Before the write lock is taken what there is to read and to copy is read and copied down to
//! 1 MiB and 500 frames, as far as the writers let it. A WAL of more than 16 MiB is cut when
//! all of it is in the database file. When more than that is in use, readers that stand in the
//! way of its beginning anew are waited for, 60 ms at a time.
//!
//! While it runs, a WAL is never reset while somebody copies from it: see `sqlite`.
//!
//! Nothing is written to the application's database.

mod batch;
mod begin;
mod brake;
mod chain;
mod error;
mod image;
mod last;
mod ship;
mod snapshot;
mod sqlite;
mod thread;
mod wake;
mod wal_file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccm_types::{Monotonic, Txid};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::store::{Fence, LtxInfo, LtxStore};
pub use error::CaptureError;
use thread::{Message, Thread};
use wake::Waker;

/// How the data file is captured.
#[derive(Debug, Clone)]
pub struct CaptureConfig {
    /// The database, in WAL mode.
    pub data: PathBuf,
    /// A folder for files on their way into the bucket.
    pub spool: PathBuf,
    /// Without a `-wal` the data file holds exactly this transaction: it was the replica until
    /// now. Saves shipping the whole database after a promotion.
    pub base: Option<Txid>,
    /// Between two snapshots of the whole database.
    pub snapshot_interval: Duration,
    /// Pages in the WAL after which it is checkpointed.
    pub checkpoint_pages: u32,
    /// The longest time between two looks at the WAL.
    pub poll: Duration,
    /// Bytes that may wait in the spool for the bucket; then the WAL grows instead.
    pub backlog_max: u64,
}

impl CaptureConfig {
    /// Checkpoints at 1000 pages, a snapshot every hour, at most 1 GiB in the spool.
    #[must_use]
    pub fn new(data: PathBuf, spool: PathBuf) -> Self {
        Self {
            data,
            spool,
            base: None,
            snapshot_interval: Duration::from_secs(3600),
            checkpoint_pages: 1000,
            poll: Duration::from_millis(250),
            backlog_max: 1 << 30,
        }
    }
}

/// How far capture is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureProgress {
    /// The last transaction that the bucket has.
    pub txid: Txid,
    /// Bytes of the WAL that the bucket lacks.
    pub unshipped_bytes: u64,
    /// When the oldest commit that the bucket lacks was seen.
    pub oldest_unshipped: Option<Monotonic>,
    /// Bytes of LTX put into the bucket.
    pub shipped_bytes_total: u64,
    /// Commits are held back now, because they come faster than the bucket takes them.
    pub holds_back: bool,
    /// How long they were held back in all.
    pub held_back: Duration,
    /// Capture has ended by itself.
    pub ended: Option<CaptureEnd>,
}

/// Why capture has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureEnd {
    /// The bucket refuses this epoch.
    pub fenced: bool,
    /// In words.
    pub why: String,
}

/// A running capture. Dropping it ends it without waiting for the store.
#[derive(Debug)]
pub struct Capture {
    progress: watch::Receiver<CaptureProgress>,
    messages: Messages,
    cancel: CancellationToken,
    tracker: TaskTracker,
    /// The answer to a flush that has been asked for: one that nobody waited for to the end
    /// comes all the same.
    flushing: Option<oneshot::Receiver<Txid>>,
    /// The answer.
    flushed: Option<Txid>,
}

/// The way to the thread: a queue and what wakes it.
#[derive(Debug, Clone)]
struct Messages {
    queue: std::sync::mpsc::Sender<Message>,
    waker: Arc<Waker>,
}

impl Messages {
    fn send(&self, message: Message) {
        // A thread that has ended needs no message.
        if self.queue.send(message).is_ok() {
            self.waker.wake();
        }
    }
}

/// The way to a running capture for whoever wants a snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotRequests {
    progress: watch::Receiver<CaptureProgress>,
    messages: Messages,
}

impl SnapshotRequests {
    /// Takes a snapshot of everything that is committed by now, beside the schedule, and waits
    /// until the bucket has it. It goes on when nobody waits for it any more. When nothing was
    /// committed since the last one, that one is the answer.
    ///
    /// # Errors
    /// [`CaptureError::Snapshot`] when this one was not made or not stored; a later one is tried
    /// all the same. [`CaptureError::Ended`].
    pub async fn take(&self) -> Result<LtxInfo, CaptureError> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Take(reply));
        match answer.await {
            Ok(stored) => stored.map_err(|why| CaptureError::Snapshot { why }),
            Err(_) => Err(ended(&self.progress.borrow())),
        }
    }

    /// From now on so long between two snapshots of the schedule.
    pub fn every(&self, interval: Duration) {
        self.messages.send(Message::SnapshotEvery(interval));
    }
}

fn ended(progress: &CaptureProgress) -> CaptureError {
    let end = progress.ended.clone();
    CaptureError::Ended(
        end.unwrap_or_else(|| CaptureEnd {
            fenced: false,
            why: String::from("its thread has ended"),
        }),
    )
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.messages.send(Message::Abandon);
    }
}

impl Capture {
    /// Begins to capture: continues the chain in the bucket when the WAL proves where it is,
    /// else ships the whole database as the next transaction, after this has returned. Whatever
    /// is committed from now on is captured. Applications may have the database open.
    ///
    /// What an earlier capture has left in the spool is removed.
    ///
    /// # Errors
    /// [`CaptureError`]: the bucket or the data file failed; nothing runs then.
    pub async fn start<S: LtxStore + Clone>(
        store: S,
        fence: Fence,
        config: CaptureConfig,
    ) -> Result<Self, CaptureError> {
        let begin = begin::begin(&store, &config).await?;
        let (publish, progress) =
            watch::channel(CaptureProgress { txid: begin.tip, ..CaptureProgress::default() });
        let publish = Arc::new(publish);
        let (queue, inbox) = std::sync::mpsc::channel();
        let waker = Arc::new(Waker::new(&config.data)?);
        let messages = Messages { queue, waker: Arc::clone(&waker) };
        let (to_ship, shipments) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let tracker = TaskTracker::new();
        let shipper = ship::Shipper {
            store: store.clone(),
            fence,
            progress: Arc::clone(&publish),
            messages: messages.clone(),
        };
        let token = cancel.clone();
        tracker.spawn(async move {
            token.run_until_cancelled(shipper.run(shipments)).await;
        });
        let (ready, started) = oneshot::channel();
        let parts = thread::Parts {
            config,
            begin,
            waker,
            inbox,
            messages: messages.clone(),
            to_ship,
            progress: publish,
            cancel: cancel.clone(),
        };
        tracker.spawn_blocking(move || Thread::run(parts, ready));
        tracker.close();
        let capture = Self { progress, messages, cancel, tracker, flushing: None, flushed: None };
        match started.await {
            Ok(Ok(())) => Ok(capture),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CaptureError::Ended(CaptureEnd {
                fenced: false,
                why: String::from("its thread has died"),
            })),
        }
    }

    /// How far it is, as it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<CaptureProgress> {
        self.progress.clone()
    }

    /// Asks for a snapshot from anywhere, for as long as the capture runs.
    #[must_use]
    pub fn snapshots(&self) -> SnapshotRequests {
        SnapshotRequests { progress: self.progress.clone(), messages: self.messages.clone() }
    }

    /// Ships everything that is committed, waits until the bucket has it, and closes the
    /// database. The application has stopped.
    ///
    /// # Errors
    /// [`CaptureError::Unfinished`] when it takes longer than `within`: it goes on and can be
    /// waited for again. [`CaptureError::Ended`].
    pub async fn flush(&mut self, within: Duration) -> Result<Txid, CaptureError> {
        if self.flushed.is_none() && self.flushing.is_none() {
            let (reply, flushing) = oneshot::channel();
            self.messages.send(Message::Flush(reply));
            self.flushing = Some(flushing);
        }
        let waiting = async {
            if let Some(flushing) = &mut self.flushing {
                self.flushed = flushing.await.ok();
                self.flushing = None;
            }
            if self.flushed.is_some() {
                // Then the database is closed.
                self.tracker.wait().await;
            }
        };
        if tokio::time::timeout(within, waiting).await.is_err() {
            return Err(CaptureError::Unfinished { within });
        }
        self.flushed.ok_or_else(|| self.end())
    }

    fn end(&self) -> CaptureError {
        ended(&self.progress.borrow())
    }

    /// Ends without waiting for the store; the database is closed when this returns.
    pub async fn abandon(self) {
        self.cancel.cancel();
        self.messages.send(Message::Abandon);
        self.tracker.wait().await;
    }
}
