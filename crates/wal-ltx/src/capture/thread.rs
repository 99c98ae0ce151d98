//! The thread that alone touches SQLite: what is read when, what is shipped next.

mod backlog;
mod look;
mod tidy;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ccm_types::{BootClock, Monotonic, Txid};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, MEMORY_MAX};
use super::begin::Begin;
use super::brake::Brake;
use super::chain::{Chain, Read, Seal};
use super::error::{CaptureError, in_words};
use super::ship::Shipment;
use super::snapshot::{Reply, Snapshots};
use super::wake::Waker;
use super::{CaptureConfig, CaptureEnd, CaptureProgress, Messages};
use crate::store::{Level, LtxInfo, LtxName};

/// From the beginning of one shipment to the next file of commits. A commit that comes alone is
/// shipped at once; of a stream of them a file is made so often, whatever their rate.
const GATHER: Duration = Duration::from_millis(4);

/// Bytes of pages that a file may have in memory while others wait for the bucket before it.
const WAITING_MEMORY_MAX: usize = 16 << 10;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// The bucket has this transaction.
    Shipped(Txid),
    /// A snapshot is copied, or not and why.
    Copied(Result<Shipment, String>),
    /// The snapshot is stored, or given up and why.
    Snapshot(Result<LtxInfo, String>),
    /// Take a snapshot now.
    Take(Reply),
    /// So long between two snapshots.
    SnapshotEvery(Duration),
    /// The bucket has lost what it had acknowledged.
    Lost,
    /// Ship everything and end.
    Flush(oneshot::Sender<Txid>),
    /// End.
    Abandon,
}

/// What the thread is made of.
pub(super) struct Parts {
    pub(super) config: CaptureConfig,
    pub(super) begin: Begin,
    pub(super) waker: Arc<Waker>,
    pub(super) inbox: Receiver<Message>,
    pub(super) messages: Messages,
    pub(super) to_ship: mpsc::Sender<Shipment>,
    pub(super) progress: Arc<watch::Sender<CaptureProgress>>,
    pub(super) cancel: CancellationToken,
}

pub(super) struct Thread {
    parts: Parts,
    // Dropped before the database is closed.
    snapshots: Snapshots,
    brake: Brake,
    chain: Chain,
    /// The chain does not go on: the whole database comes next.
    broken: bool,
    queue: VecDeque<Batch>,
    /// As much waits as may.
    full: bool,
    /// Commits are held back.
    holds_back: bool,
    in_flight: Option<(Txid, Monotonic, u64)>,
    /// When the bucket took something, or was given something after a pause.
    moved_at: Monotonic,
    /// The last transaction that the bucket has.
    durable: Txid,
    /// A snapshot that is copied and waits for its last transaction.
    snapshot: Option<Shipment>,
    /// Committed bytes of the WAL that are in no batch yet, and when the first was seen.
    ahead: u64,
    noticed: Option<Monotonic>,
    flushes: Vec<oneshot::Sender<Txid>>,
    /// The last write to a file of the folder that was seen.
    written_at: Monotonic,
    /// The next look when nothing else wakes.
    again: Duration,
    /// The next write to a file of the folder wakes.
    watching: bool,
    /// No file is made before: commits gather for it.
    gather_until: Monotonic,
    /// No look ahead before.
    ahead_at: Monotonic,
    seal_at: Monotonic,
    /// Before, no reader is waited for.
    patient_at: Monotonic,
    /// Until the next time.
    patient_every: Duration,
    /// No checkpoint before the WAL has so many frames: an application reads an old state.
    seal_frames: u64,
    /// Frames of the WAL at the last look that found others than the one before, and by how many
    /// it had grown.
    grown: (u64, u64),
}

impl Thread {
    /// Runs until it is told to end.
    pub(super) fn run(parts: Parts, ready: oneshot::Sender<Result<(), CaptureError>>) {
        let _death = Death(Arc::clone(&parts.progress));
        let progress = Arc::clone(&parts.progress);
        let mut thread = match Self::begin(parts) {
            Ok(thread) => thread,
            Err(error) => {
                // Whoever started it may have given up.
                ready.send(Err(error)).ok();
                return;
            }
        };
        ready.send(Ok(())).ok();
        if let Err(error) = thread.work() {
            let why = in_words(&error);
            progress.send_modify(|p| p.ended = Some(CaptureEnd { fenced: false, why }));
        }
    }

    fn begin(parts: Parts) -> Result<Self, CaptureError> {
        let config = &parts.config;
        let mut chain = Chain::open(&config.data, &config.spool, &parts.begin)?;
        let mut broken = !chain.resume(&parts.begin)?;
        let mut queue = VecDeque::new();
        let now = BootClock.now();
        if !broken {
            // The WAL may have been about to start over; not any more.
            broken = chain.seal(None, now, &mut queue)? == Seal::Broken;
        }
        let snapshots =
            Snapshots::new(config.snapshot_interval, &parts.begin, parts.cancel.clone());
        Ok(Self {
            durable: parts.begin.tip,
            brake: Brake::new(&parts.config.data),
            parts,
            snapshots,
            chain,
            broken,
            queue,
            full: false,
            holds_back: false,
            in_flight: None,
            moved_at: now,
            snapshot: None,
            ahead: 0,
            noticed: None,
            flushes: Vec::new(),
            written_at: now,
            again: Duration::ZERO,
            watching: true,
            gather_until: now,
            ahead_at: now,
            seal_at: now,
            patient_at: now,
            patient_every: tidy::PATIENT_EVERY_MIN,
            seal_frames: 0,
            grown: (0, 0),
        })
    }

    fn work(&mut self) -> Result<(), CaptureError> {
        loop {
            if self.hear() {
                return Ok(());
            }
            let waiting = !self.queue.is_empty();
            self.chain.memory_max = if waiting { WAITING_MEMORY_MAX } else { MEMORY_MAX };
            self.look()?;
            self.ship();
            self.hold_back()?;
            self.tidy()?;
            self.ship();
            self.tell();
            if self.flushed()? {
                return Ok(());
            }
            if self.in_flight.is_some() || self.queue.is_empty() {
                self.wait()?;
            }
        }
    }

    fn wait(&mut self) -> Result<(), CaptureError> {
        let gathering = self.gather_until.since(BootClock.now());
        if self.in_flight.is_some() || self.broken {
            self.parts.waker.wait_for_message(self.parts.config.poll);
        } else if !gathering.is_zero() && self.flushes.is_empty() {
            self.parts.waker.wait_for_message(gathering);
        } else if !self.watching {
            // What was written before is looked for once more.
            self.parts.waker.watch()?;
            self.watching = true;
        } else if self.parts.waker.wait(self.again) {
            self.watching = false;
            self.written_at = BootClock.now();
        }
        Ok(())
    }

    /// Takes all messages in; `true` when it is to end.
    fn hear(&mut self) -> bool {
        loop {
            match self.parts.inbox.try_recv() {
                Ok(Message::Shipped(txid)) => {
                    if self.in_flight.is_some_and(|(flying, ..)| flying == txid) {
                        self.in_flight = None;
                        self.moved_at = BootClock.now();
                        self.durable = txid;
                    }
                }
                Ok(Message::Copied(Ok(shipment))) => {
                    self.snapshots.copied();
                    self.snapshot = Some(shipment);
                }
                Ok(Message::Copied(Err(why))) => {
                    tracing::info!(%why, "a snapshot was not made");
                    self.snapshots.done(&Err(why));
                }
                Ok(Message::Snapshot(stored)) => self.snapshots.done(&stored),
                Ok(Message::Take(reply)) => self.snapshots.ask(reply),
                Ok(Message::SnapshotEvery(interval)) => self.snapshots.every(interval),
                Ok(Message::Lost) => self.snapshots.hurry(),
                Ok(Message::Flush(reply)) => self.flushes.push(reply),
                Ok(Message::Abandon) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return self.parts.cancel.is_cancelled(),
            }
        }
    }

    fn ship(&mut self) {
        // Not before its last transaction, or the chain would have a hole if we ended now.
        let whole = |snapshot: &mut Shipment| snapshot.name.max <= self.durable;
        if let Some(snapshot) = self.snapshot.take_if(whole) {
            // A shipper that has ended has said why.
            self.parts.to_ship.blocking_send(snapshot).ok();
        }
        if self.in_flight.is_some() {
            return;
        }
        let Some(batch) = self.queue.pop_front() else { return };
        let now = BootClock.now();
        self.in_flight = Some((batch.txid, batch.seen, batch.wal_bytes));
        (self.moved_at, self.gather_until) = (now, now + GATHER);
        let shipment = Shipment {
            name: LtxName { level: Level::L0, min: batch.txid, max: batch.txid },
            timestamp_ms: batch.timestamp_ms,
            body: batch.body,
            file: batch.file,
            bytes: batch.bytes,
        };
        // A shipper that has ended has said why.
        self.parts.to_ship.blocking_send(shipment).ok();
    }

    fn tell(&self) {
        let flying = self.in_flight.map(|(_, seen, bytes)| (seen, bytes));
        let queued = self.queue.iter().map(|batch| (batch.seen, batch.wal_bytes));
        let (oldest, bytes) = flying.into_iter().chain(queued).fold(
            (self.noticed, self.ahead),
            |(oldest, sum), (seen, bytes)| {
                (Some(oldest.map_or(seen, |oldest| oldest.min(seen))), sum + bytes)
            },
        );
        self.parts.progress.send_if_modified(|p| {
            let before = (p.unshipped_bytes, p.oldest_unshipped, p.holds_back);
            p.unshipped_bytes = bytes;
            p.oldest_unshipped = oldest;
            (p.holds_back, p.held_back) = (self.holds_back, self.brake.held());
            before != (p.unshipped_bytes, p.oldest_unshipped, p.holds_back)
        });
    }

    /// Answers a flush when there is nothing left to ship; `true` when it is to end.
    fn flushed(&mut self) -> Result<bool, CaptureError> {
        let shipping = !self.queue.is_empty() || self.in_flight.is_some();
        if self.flushes.is_empty() || shipping || self.broken {
            return Ok(false);
        }
        // What was committed between the last look and the flush.
        match self.chain.read(self.noticed.unwrap_or_else(|| BootClock.now()))? {
            Read::Nothing => {}
            Read::Busy => return Ok(false),
            Read::Batch(batch) => {
                self.queue.push_back(batch);
                return Ok(false);
            }
            Read::Broken => {
                self.breaks();
                self.parts.waker.wake();
                return Ok(false);
            }
        }
        for reply in std::mem::take(&mut self.flushes) {
            // Whoever asked may have given up.
            reply.send(self.chain.tip()).ok();
        }
        Ok(true)
    }
}

/// Says so when the thread panics: nobody else would.
struct Death(Arc<watch::Sender<CaptureProgress>>);

impl Drop for Death {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = String::from("its thread has died");
            self.0.send_modify(|p| p.ended = Some(CaptureEnd { fenced: false, why }));
        }
    }
}
