//! The task: machine, timer, one request under way.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use ccm_types::{BootClock, Epoch, Monotonic};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::LeaseStatus;
use super::bucket::Bucket;
use super::orders::Orders;
use super::trouble::Trouble;
use crate::{Change, Input, Lease, ReadOutcome, Request, Step, WriteOutcome};

/// The longest sleep of a holder. The runtime's timer stands still while the host is suspended;
/// after a resume the deadline is seen this much later at most.
const HOLDER_SLEEP_MAX: Duration = Duration::from_millis(50);

/// The longest sleep of anybody: the status says whether there is a connection.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// The timer counts whole milliseconds.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// A request that was answered, or not.
struct Answer {
    input: Input,
    problem: Option<String>,
    /// When a write that was stored had been asked for.
    stored_since: Option<Monotonic>,
}

type InFlight = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Everything the task owns.
pub(super) struct Driver {
    bucket: Bucket,
    lease: Lease,
    orders: Arc<Orders>,
    /// `None` once the client is closed.
    hints: Option<Subscriber>,
    changes: mpsc::Sender<Change>,
    status: watch::Sender<LeaseStatus>,
    in_flight: Option<InFlight>,
    /// When the leadership of this epoch was first claimed, for people.
    acquired: (Epoch, String),
    /// When the leadership of this epoch began, as the record that was read last says.
    read: (Epoch, String),
    latency: Option<Duration>,
    failed_writes: u64,
    trouble: Trouble,
}

impl Driver {
    pub(super) fn new(
        bucket: Bucket,
        lease: Lease,
        orders: Arc<Orders>,
        hints: Subscriber,
        changes: mpsc::Sender<Change>,
        status: watch::Sender<LeaseStatus>,
    ) -> Self {
        Self {
            bucket,
            lease,
            orders,
            hints: Some(hints),
            changes,
            status,
            in_flight: None,
            acquired: (Epoch::NONE, String::new()),
            read: (Epoch::NONE, String::new()),
            latency: None,
            failed_writes: 0,
            trouble: Trouble::default(),
        }
    }

    /// Runs until it is cancelled or nobody listens to the changes.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut input = Input::Tick;
        loop {
            let now = BootClock.now();
            let Step { requests, changes } = self.lease.step(now, input);
            for request in requests {
                self.in_flight = Some(self.send(now, request));
            }
            self.show();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                told = tell(&self.changes, changes) => if told.is_err() { return },
            }
            let sleep = self.sleep();
            input = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(sleep) => Input::Tick,
                input = self.orders.next() => input,
                answer = answered(&mut self.in_flight) => self.take(answer),
                hint = hinted(&mut self.hints) => {
                    if hint.is_none() {
                        self.hints = None;
                    }
                    Input::Hint
                }
            };
        }
    }

    fn sleep(&self) -> Duration {
        let longest = if self.lease.valid_until().is_some() { HOLDER_SLEEP_MAX } else { SLEEP_MAX };
        self.lease.next_deadline().since(BootClock.now()).clamp(SLEEP_MIN, longest)
    }

    fn send(&mut self, now: Monotonic, request: Request) -> InFlight {
        let bucket = self.bucket.clone();
        match request {
            Request::Read { id, timeout } => Box::pin(async move {
                let (outcome, problem) = bucket.read(timeout).await;
                Answer { input: Input::Read { id, outcome }, problem, stored_since: None }
            }),
            Request::Write { id, expected, mut record, timeout } => {
                if record.acquired_at.is_empty() {
                    record.acquired_at = self.acquired_at(record.epoch);
                }
                Box::pin(async move {
                    let (outcome, problem) = bucket.write(expected, &record, timeout).await;
                    let stored = matches!(outcome, WriteOutcome::Stored(_));
                    let stored_since = stored.then_some(now);
                    Answer { input: Input::Written { id, outcome }, problem, stored_since }
                })
            }
        }
    }

    fn acquired_at(&mut self, epoch: Epoch) -> String {
        if self.acquired.0 != epoch {
            self.acquired = (epoch, jiff::Timestamp::now().to_string());
        }
        self.acquired.1.clone()
    }

    fn take(&mut self, answer: Answer) -> Input {
        self.in_flight = None;
        self.trouble.note(answer.problem.as_deref(), self.lease.valid_until().is_some());
        if let Some(sent) = answer.stored_since {
            self.latency = Some(BootClock.now().since(sent));
        } else if matches!(answer.input, Input::Written { .. }) {
            self.failed_writes += 1;
        }
        if let Input::Read { outcome: ReadOutcome::Found { record: Some(record), .. }, .. } =
            &answer.input
        {
            self.read = (record.epoch, record.acquired_at.clone());
        }
        answer.input
    }

    /// When the leadership of this epoch began, if somebody has said so.
    fn since(&self, epoch: Epoch) -> Option<String> {
        let mut told = [&self.acquired, &self.read].into_iter();
        told.find(|(of, at)| *of == epoch && !at.is_empty()).map(|(_, at)| at.clone())
    }

    fn show(&self) {
        let leader = self.lease.leader();
        let status = LeaseStatus {
            connected: self.bucket.api.connected(),
            leader_since: leader.as_ref().and_then(|leader| self.since(leader.epoch)),
            leader,
            free_at: self.lease.free_at(),
            valid_until: self.lease.valid_until(),
            last_renewal_latency: self.latency,
            failed_writes: self.failed_writes,
            last_win: self.lease.last_win().cloned(),
            free: self.lease.is_free(),
        };
        self.status.send_if_modified(|shown| {
            let differs = *shown != status;
            *shown = status;
            differs
        });
    }
}

/// Waits for a user that is slow: see `CHANGES_MAX`.
async fn tell(
    user: &mpsc::Sender<Change>,
    changes: Vec<Change>,
) -> Result<(), mpsc::error::SendError<Change>> {
    for change in changes {
        user.send(change).await?;
    }
    Ok(())
}

async fn answered(in_flight: &mut Option<InFlight>) -> Answer {
    match in_flight {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}

async fn hinted(hints: &mut Option<Subscriber>) -> Option<()> {
    match hints {
        Some(hints) => hints.next().await.map(|_| ()),
        None => std::future::pending().await,
    }
}
