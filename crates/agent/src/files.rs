//! The lane of the database files: fence, replica, data file and capture, one thing at a time.

mod tuned;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccm_role::{Event, OpId, Operation, Outcome, Verdict};
use ccm_types::{Epoch, NodeId, Position, Txid};
use ccm_wal_ltx::capture::{
    Capture, CaptureConfig, CaptureError, CaptureProgress, SnapshotRequests,
};
use ccm_wal_ltx::compact::{CompactProgress, Compactor};
use ccm_wal_ltx::follow::{FollowProgress, Follower, catch_up, is_behind};
use ccm_wal_ltx::local::{Local, LocalError};
use ccm_wal_ltx::plan;
use ccm_wal_ltx::store::{Fence, LtxInfo, LtxName, LtxStore as _, NatsStore};
use tokio::sync::{mpsc, watch};

use crate::tasks::Tasks;
use crate::{Tunables, outcome};
use tuned::Tuned;

/// One attempt at the final flush; the machine decides about another.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// One attempt at the definitive catch-up; what it has applied stays.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);

/// Between two attempts at a snapshot that makes a damaged file superfluous.
const HEAL_AGAIN: Duration = Duration::from_secs(10);

/// What the lane is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    /// Follow the bucket.
    Follow,
    /// Stop following.
    StopFollowing,
    /// Run and report.
    Run(OpId, Operation),
}

/// Where to read how far replication is.
#[derive(Debug, Clone)]
pub(crate) enum View {
    /// Nothing runs.
    Idle,
    /// The replica follows.
    Following(watch::Receiver<FollowProgress>),
    /// The data file is captured.
    Capturing(Capturing),
}

/// A capture and the compactor beside it, to be looked at.
#[derive(Debug, Clone)]
pub(crate) struct Capturing {
    pub(crate) progress: watch::Receiver<CaptureProgress>,
    pub(crate) snapshots: SnapshotRequests,
    pub(crate) compaction: watch::Receiver<CompactProgress>,
}

/// What runs on the files.
#[derive(Debug)]
enum Running {
    Nothing,
    Following(Follower),
    /// The compactor ends before the final flush, so that nothing is in its way.
    Capturing(Capture, Option<Compactor>),
}

/// The lane.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) store: NatsStore,
    pub(crate) local: Arc<Local>,
    pub(crate) node: NodeId,
    /// The file that the backend serves.
    pub(crate) data: PathBuf,
    pub(crate) tunables: watch::Receiver<Tunables>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) view: watch::Sender<View>,
    /// How many requests were made: a catch-up that others wait behind need not go on.
    pub(crate) asked: watch::Receiver<u64>,
    pub(crate) tasks: Tasks,
}

/// The lane at work: what it owns beside its configuration.
#[derive(Debug)]
struct State {
    lane: Files,
    /// What is in force.
    tuned: Tuned,
    /// Requests taken so far.
    taken: u64,
    running: Running,
    fence: Option<Fence>,
    /// What the data file held when it was put in its place, without a WAL.
    base: Option<Txid>,
}

impl Files {
    /// Serves requests in order until the queue is closed.
    pub(crate) async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut tunables = self.tunables.clone();
        let tuned = Tuned::of(&tunables.borrow_and_update());
        let mut state = State {
            lane: self,
            tuned,
            taken: 0,
            running: Running::Nothing,
            fence: None,
            base: None,
        };
        loop {
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(request) => state.serve(request).await,
                    None => break,
                },
                Ok(()) = tunables.changed() => {
                    let tuned = Tuned::of(&tunables.borrow_and_update());
                    state.tune(tuned).await;
                }
            }
        }
        state.stop_following().await;
    }
}

/// Takes a snapshot whenever a file of the bucket is found damaged, so that nothing depends on it:
/// the compactor then removes it. Ends with the capture or the compactor.
async fn heal(mut view: Capturing) {
    let mut healed = None;
    let news = |progress: &CompactProgress, healed: Option<LtxName>| {
        progress.damaged.is_some() && progress.damaged != healed
    };
    let mut told = None;
    loop {
        let found = view.compaction.wait_for(|p| news(p, healed)).await.map(|p| p.damaged);
        let Ok(Some(name)) = found else { return };
        if told != Some(name) {
            told = Some(name);
            tracing::warn!(
                %name,
                "a file of the bucket is damaged: a snapshot is taken, so that nothing depends \
                 on it; check the disks of NATS"
            );
        }
        match view.snapshots.take().await {
            Ok(_) => healed = Some(name),
            Err(CaptureError::Ended(_)) => return,
            Err(error) => {
                let error = outcome::words(&error);
                tracing::info!(%error, "the snapshot is tried again");
                tokio::time::sleep(HEAL_AGAIN).await;
            }
        }
    }
}

impl State {
    async fn serve(&mut self, request: Request) {
        self.taken += 1;
        match request {
            Request::Follow => self.follow(),
            Request::StopFollowing => self.stop_following().await,
            Request::Run(op, operation) => {
                let outcome = self.operate(operation).await;
                self.tell(Event::Done { op, outcome }).await;
            }
        }
    }

    async fn tell(&self, event: Event) {
        // The loop has ended when nobody listens.
        self.lane.events.send(event).await.ok();
    }

    async fn operate(&mut self, operation: Operation) -> Outcome {
        match operation {
            Operation::MoveFence { epoch } => self.move_fence(epoch).await,
            Operation::Compare => self.compare().await,
            Operation::CatchUp => self.catch_up().await,
            Operation::Place { verdict, epoch } => self.place(verdict, epoch).await,
            Operation::StartCapture { epoch } => self.start_capture(epoch).await,
            Operation::Flush => self.flush().await,
            Operation::AbandonCapture => self.abandon().await,
            Operation::Retire { at } => self.retire(at).await,
            Operation::AcquireVip { .. }
            | Operation::ReleaseVip
            | Operation::StartBackend
            | Operation::StopBackend
            | Operation::KillBackend { .. } => {
                Outcome::Permanent(String::from("this is not done with files"))
            }
        }
    }

    fn follow(&mut self) {
        match self.running {
            Running::Following(_) | Running::Capturing(..) => return,
            Running::Nothing => {}
        }
        let lane = &self.lane;
        let config = self.tuned.follow(lane);
        let follower = Follower::start(lane.store.clone(), Arc::clone(&lane.local), config);
        lane.view.send_replace(View::Following(follower.progress()));
        self.running = Running::Following(follower);
    }

    async fn stop_following(&mut self) {
        match std::mem::replace(&mut self.running, Running::Nothing) {
            Running::Following(follower) => {
                self.lane.view.send_replace(View::Idle);
                follower.stop().await;
            }
            other @ (Running::Nothing | Running::Capturing(..)) => self.running = other,
        }
    }

    async fn move_fence(&mut self, epoch: Epoch) -> Outcome {
        match self.lane.store.move_fence(epoch, &self.lane.node).await {
            Ok(fence) => {
                self.fence = Some(fence);
                Outcome::Ok
            }
            Err(error) => outcome::of_store(&error),
        }
    }

    async fn compare(&mut self) -> Outcome {
        let files = match self.lane.store.list().await {
            Ok(files) => files,
            Err(error) => return outcome::of_store(&error),
        };
        let summary = match self.blocking(Local::summary).await {
            Ok(summary) => summary,
            Err(outcome) => return outcome,
        };
        match plan::compare(summary, &files) {
            Ok(plan::Verdict::Keep) => self.keep_unless_behind(&files).await,
            Ok(plan::Verdict::Swap) => Outcome::Compared(Verdict::Swap),
            Ok(plan::Verdict::Create) => Outcome::Compared(Verdict::Create),
            Err(refusal) => Outcome::Permanent(outcome::words(&refusal)),
        }
    }

    /// A file of the newest epoch stays, unless a power loss has taken away what the bucket has.
    async fn keep_unless_behind(&self, files: &[LtxInfo]) -> Outcome {
        match is_behind(&self.lane.store, &self.lane.local, files).await {
            Ok(false) => Outcome::Compared(Verdict::Keep),
            Ok(true) => {
                tracing::warn!(
                    "the data file lacks commits that the bucket has: the host lost power, or an \
                     old copy was put back; the bucket's content is served, the file is set aside"
                );
                Outcome::Compared(Verdict::Swap)
            }
            Err(error) => outcome::of_follow(&error),
        }
    }

    async fn catch_up(&mut self) -> Outcome {
        let lane = &mut self.lane;
        let taken = self.taken;
        let catching = catch_up(&lane.store, &lane.local, CATCH_UP_WITHIN, |_, _| {});
        tokio::select! {
            biased;
            // What is being written is finished before the next one has its turn at the files.
            _ = lane.asked.wait_for(|asked| *asked > taken) => {
                Outcome::Transient(String::from("the catch-up was interrupted"))
            }
            caught = catching => match caught {
                Ok(position) => Outcome::At(position),
                Err(error) => outcome::of_follow(&error),
            },
        }
    }

    async fn place(&mut self, verdict: Verdict, epoch: Epoch) -> Outcome {
        let verdict = match verdict {
            Verdict::Keep => plan::Verdict::Keep,
            Verdict::Swap => plan::Verdict::Swap,
            Verdict::Create => plan::Verdict::Create,
        };
        match self.blocking(move |local| local.place(verdict, epoch)).await {
            Ok(placed) => {
                self.base = placed.position.map(|position| position.txid);
                if let Some(aside) = placed.set_aside {
                    tracing::warn!(
                        file = %aside.display(),
                        "the data file of an earlier leadership differs from the cluster's and was \
                         set aside: look at what it holds, then remove it"
                    );
                }
                Outcome::Ok
            }
            Err(outcome) => outcome,
        }
    }

    async fn start_capture(&mut self, epoch: Epoch) -> Outcome {
        let Some(fence) = self.fence.filter(|fence| fence.epoch == epoch) else {
            return Outcome::Permanent(format!("no fence of epoch {epoch} to write under"));
        };
        self.stop_following().await;
        self.end_capture().await;
        if let Err(outcome) = self.blocking(move |local| local.open_for_writes(epoch)).await {
            return outcome;
        }
        let lane = &self.lane;
        let config = CaptureConfig { base: self.base.take(), ..self.tuned.capture(lane) };
        match Capture::start(lane.store.clone(), fence, config).await {
            Ok(capture) => {
                let compactor = self.compact(&capture, fence);
                self.watch_for_its_end(capture.progress());
                self.running = Running::Capturing(capture, Some(compactor));
                Outcome::Ok
            }
            Err(error) => outcome::of_capture(&error),
        }
    }

    /// A compactor beside the capture, and both to be looked at.
    fn compact(&self, capture: &Capture, fence: Fence) -> Compactor {
        let lane = &self.lane;
        let compactor = Compactor::start(lane.store.clone(), fence, self.tuned.compact(lane));
        let view = Capturing {
            progress: capture.progress(),
            snapshots: capture.snapshots(),
            compaction: compactor.progress(),
        };
        lane.tasks.spawn("healing", heal(view.clone()));
        lane.view.send_replace(View::Capturing(view));
        compactor
    }

    /// Reports when the capture ends by itself. A capture that was told to end drops its side of
    /// the channel without a word.
    fn watch_for_its_end(&self, mut progress: watch::Receiver<CaptureProgress>) {
        let events = self.lane.events.clone();
        self.lane.tasks.spawn("capture watch", async move {
            let Ok(ended) = progress.wait_for(|p| p.ended.is_some()).await.map(|p| p.ended.clone())
            else {
                return;
            };
            if let Some(end) = ended {
                let event = Event::CaptureEnded { fenced: end.fenced, why: end.why };
                // The loop has ended when nobody listens.
                events.send(event).await.ok();
            }
        });
    }

    async fn flush(&mut self) -> Outcome {
        let Running::Capturing(capture, compactor) = &mut self.running else {
            return Outcome::Permanent(String::from("nothing is captured"));
        };
        if let Some(compactor) = compactor.take() {
            compactor.stop().await;
        }
        match capture.flush(FLUSH_WITHIN).await {
            Ok(txid) => {
                self.end_capture().await;
                let epoch = self.fence.map_or(Epoch::NONE, |fence| fence.epoch);
                Outcome::At(Position::new(epoch, txid))
            }
            Err(error) => outcome::of_capture(&error),
        }
    }

    async fn abandon(&mut self) -> Outcome {
        self.end_capture().await;
        Outcome::Ok
    }

    async fn end_capture(&mut self) {
        match std::mem::replace(&mut self.running, Running::Nothing) {
            Running::Capturing(capture, compactor) => {
                self.lane.view.send_replace(View::Idle);
                if let Some(compactor) = compactor {
                    compactor.stop().await;
                }
                capture.abandon().await;
            }
            other @ (Running::Nothing | Running::Following(_)) => self.running = other,
        }
    }

    async fn retire(&mut self, at: Position) -> Outcome {
        match self.blocking(move |local| local.retire(at)).await {
            Ok(()) => Outcome::Ok,
            Err(outcome) => outcome,
        }
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, Outcome>
    where
        T: Send + 'static,
        F: FnOnce(&Local) -> Result<T, LocalError> + Send + 'static,
    {
        let local = Arc::clone(&self.lane.local);
        match tokio::task::spawn_blocking(move || work(&local)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(outcome::of_local(&error)),
            Err(panicked) => Err(Outcome::Permanent(panicked.to_string())),
        }
    }
}
