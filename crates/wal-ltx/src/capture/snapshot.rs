//! Snapshots: whole databases from transaction 1 on, beside the stream of commits.

use std::thread::JoinHandle;
use std::time::Duration;

use ccm_types::{BootClock, Monotonic, Txid};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Messages;
use super::begin::Begin;
use super::error::{CaptureError, file, in_words};
use super::image::{self, Picture, Range};
use super::ship::Shipment;
use super::thread::Message;
use crate::store::{Body, Level, LtxInfo, LtxName};

/// After a snapshot that failed.
const RETRY: Duration = Duration::from_secs(60);

/// The answer to whoever has asked for a snapshot: what the bucket has, or why it has none.
pub(super) type Reply = oneshot::Sender<Result<LtxInfo, String>>;

/// When the next snapshot is due, and the one that is being made.
#[derive(Debug)]
pub(super) struct Snapshots {
    interval: Duration,
    at: Monotonic,
    /// The last transaction of the newest one.
    of: Txid,
    copying: Option<JoinHandle<()>>,
    shipping: bool,
    ending: CancellationToken,
    /// Ends the copy that is being made.
    cancel: CancellationToken,
    /// Who waits for the next one, and who for the one that is being made.
    asked: Vec<Reply>,
    answering: Vec<Reply>,
}

impl Snapshots {
    pub(super) fn new(interval: Duration, begin: &Begin, ending: CancellationToken) -> Self {
        let now = BootClock.now();
        let (of, at) = match begin.snapshot {
            Some((of, age)) => (of, now + interval.saturating_sub(age)),
            None => (Txid::ZERO, now),
        };
        let cancel = ending.child_token();
        let (asked, answering) = (Vec::new(), Vec::new());
        Self { interval, at, of, copying: None, shipping: false, ending, cancel, asked, answering }
    }

    pub(super) fn is_due(&self, tip: Txid, now: Monotonic) -> bool {
        self.copying.is_none() && !self.shipping && now >= self.at && tip > self.of
    }

    /// The next one is due at once.
    pub(super) fn hurry(&mut self) {
        self.at = BootClock.now();
        self.of = Txid::ZERO;
    }

    /// The next one is due so long after the last one, a retry when it was.
    pub(super) fn every(&mut self, interval: Duration) {
        let old = std::mem::replace(&mut self.interval, interval);
        self.at = match interval.checked_sub(old) {
            Some(more) => self.at + more,
            None => self.at.min(BootClock.now() + interval),
        };
    }

    /// One that begins from now on answers this: one that is being made may lack the last commits.
    pub(super) fn ask(&mut self, reply: Reply) {
        self.asked.push(reply);
        self.hurry();
    }

    /// Whether the picture must stay as it is.
    pub(super) fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    /// Copies the picture of the state after `tip` in a thread of its own.
    pub(super) fn copy(
        &mut self,
        picture: Picture,
        range: Range,
        to: std::path::PathBuf,
        messages: Messages,
    ) -> Result<(), CaptureError> {
        self.at = BootClock.now() + self.interval;
        self.of = range.max;
        self.answering = std::mem::take(&mut self.asked);
        self.cancel = self.ending.child_token();
        let cancel = self.cancel.clone();
        let path = picture.path.clone();
        let work = move || {
            let written = image::write(&picture, range, &to, &cancel);
            // Not the last reference: the descriptor stays open until SQLite is closed.
            drop(picture);
            let name = LtxName { level: Level::SNAPSHOT, min: range.min, max: range.max };
            messages.send(Message::Copied(match written {
                Ok(Some((file, bytes))) => Ok(Shipment {
                    name,
                    timestamp_ms: range.timestamp_ms,
                    body: Body::File(to),
                    file: Some(file),
                    bytes,
                }),
                Ok(None) => Err(String::from("it was interrupted")),
                Err(error) => Err(in_words(&error)),
            }));
        };
        let spawned = std::thread::Builder::new().name(String::from("ccm snapshot")).spawn(work);
        self.copying = Some(spawned.map_err(file("start a thread to copy", &path))?);
        Ok(())
    }

    /// The copy is on its way.
    pub(super) fn copied(&mut self) {
        self.join();
        self.shipping = true;
    }

    /// It is stored, or was given up and why.
    pub(super) fn done(&mut self, stored: &Result<LtxInfo, String>) {
        self.join();
        self.shipping = false;
        if stored.is_err() {
            self.of = Txid::ZERO;
            self.at = BootClock.now() + RETRY.min(self.interval);
        }
        for reply in self.answering.drain(..) {
            // Whoever asked may have given up.
            reply.send(stored.clone()).ok();
        }
        if !self.asked.is_empty() {
            self.hurry();
        }
    }

    /// Stops copying and waits for it.
    pub(super) fn interrupt(&mut self) {
        self.cancel.cancel();
        self.join();
    }

    fn join(&mut self) {
        if self.copying.take().is_some_and(|copying| copying.join().is_err()) {
            tracing::error!("the thread that copies a snapshot has died");
        }
    }
}

impl Drop for Snapshots {
    /// The copy's descriptor must be closed before another capture opens the database.
    fn drop(&mut self) {
        self.interrupt();
    }
}
