//! The passive side: a replica that follows the bucket, and a last catch-up before serving.
//!
//! [`Follower`] keeps the replica of [`crate::local::Local`] at the end of the bucket while
//! another node leads. A data file from an earlier leadership of this node is settled first: it
//! becomes the replica when all of it is in the bucket, is set aside when a later epoch has
//! taken over, and as long as it may be the newest data there is, it is left alone and nothing
//! is followed. [`catch_up`] brings the replica to the end of the bucket once.
//!
//! Each turn costs one listing, whatever has come meanwhile, and downloads what is missing.
//! What was applied is made durable a quarter of a second later, and when the follower stops or
//! [`catch_up`] has reached the end: a crash before that makes the same files be applied again.
//! Bounds: a batch of files has at most 256 of them and about 32 MiB, files beyond 4 MiB are
//! downloaded to disk, eight downloads run at a time.

mod behind;
mod catch_up;
mod fetch;
mod settle;
mod step;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ccm_types::{NodeId, Position, Txid};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use crate::plan::Stuck;
pub use behind::is_behind;
pub use catch_up::catch_up;
use settle::Settled;
use step::{Step, blocking};

use crate::apply::ApplyError;
use crate::local::{Local, LocalError};
use crate::plan;
use crate::store::{LtxInfo, LtxStore, StoreError};

/// Between two attempts after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// What was applied is durable after this time, and a download: after a crash as much is applied
/// again.
const FLUSH_AFTER: Duration = Duration::from_millis(250);

/// Why a replica could not be brought to the end of the bucket.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The files of this node could not be read or changed.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The bucket does not lead from where the replica is to its own end.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// The bucket is empty.
    #[error("the bucket is empty: there is nothing to restore")]
    NoData,
    /// The end was not reached in time. Whatever has been applied stays.
    #[error("the replica did not reach the end of the bucket within {within:?}: {problem}")]
    Deadline {
        /// The time that was given.
        within: Duration,
        /// What was in the way last.
        problem: String,
    },
    /// The program is ending.
    #[error("the work on the replica was interrupted")]
    Interrupted,
}

impl FollowError {
    /// Worth trying again without a change: NATS may answer, a file may be let go, and what was
    /// listed may have been compacted meanwhile.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(StoreError::NotFound { .. }) => true,
            Self::Store(error) => error.is_transient(),
            Self::Local(error) | Self::Apply(ApplyError::Local(error)) => error.is_transient(),
            Self::Apply(_)
            | Self::Stuck(_)
            | Self::NoData
            | Self::Deadline { .. }
            | Self::Interrupted => false,
        }
    }

    /// The error and its causes in one line.
    fn in_words(&self) -> String {
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            words.push_str(": ");
            words.push_str(&error.to_string());
            cause = error.source();
        }
        words
    }
}

/// How a replica follows.
#[derive(Debug, Clone)]
pub struct FollowConfig {
    /// This node: a fence that it has moved itself does not make its own data outdated.
    pub node: NodeId,
    /// The longest time between two looks at the bucket; news come earlier by a watch.
    pub poll: Duration,
    /// Bytes that files set aside may have: beyond that nothing more is set aside, and nothing is
    /// followed while something would have to be. `None` is no bound.
    pub aside_max: Option<u64>,
}

impl FollowConfig {
    /// Looks at the bucket every second at least; no bound for what is set aside.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self { node, poll: Duration::from_secs(1), aside_max: None }
    }
}

/// What the follower is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowPhase {
    /// Nothing yet: not looked, or the bucket is empty.
    Idle,
    /// The data file of this node may be the newest data there is: nothing is followed.
    Waiting,
    /// A new replica is being downloaded.
    Rebuilding {
        /// Bytes that are here.
        done_bytes: u64,
        /// Bytes that are needed.
        total_bytes: u64,
    },
    /// The replica is valid and is kept at the end of the bucket.
    Following,
}

/// Where the follower is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowProgress {
    /// What the replica contains; `None` without a usable replica.
    pub position: Option<Position>,
    /// The last transaction in the bucket, as last listed.
    pub bucket_tip: Txid,
    /// Age of the oldest transaction in the bucket that the replica lacks, by the clocks of
    /// primary and passive; zero when it lacks none.
    pub lag: Duration,
    /// What is being done.
    pub phase: FollowPhase,
    /// What is in the way, in words.
    pub problem: Option<String>,
    /// Bytes that were downloaded to begin new replicas, since the follower began.
    pub restored_bytes: u64,
    /// The time that this took, writing included.
    pub restoring: Duration,
}

/// A task that keeps the replica at the end of the bucket. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Follower {
    progress: watch::Receiver<FollowProgress>,
    cancel: DropGuard,
    task: TaskTracker,
}

impl Follower {
    /// Starts to follow. It goes on through every failure until it is stopped; what is in the
    /// way is in [`FollowProgress::problem`].
    #[must_use]
    pub fn start<S: LtxStore>(store: S, local: Arc<Local>, config: FollowConfig) -> Self {
        let cancel = CancellationToken::new();
        let (sender, progress) = watch::channel(FollowProgress {
            position: None,
            bucket_tip: Txid::ZERO,
            lag: Duration::ZERO,
            phase: FollowPhase::Idle,
            problem: None,
            restored_bytes: 0,
            restoring: Duration::ZERO,
        });
        let task = TaskTracker::new();
        let following =
            Following { store, local, config, cancel: cancel.clone(), progress: sender };
        task.spawn(following.run());
        task.close();
        Self { progress, cancel: cancel.drop_guard(), task }
    }

    /// Where the follower is, as it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<FollowProgress> {
        self.progress.clone()
    }

    /// Stops following; the batch that is being applied is finished first.
    pub async fn stop(self) {
        self.cancel.disarm().cancel();
        self.task.wait().await;
    }
}

struct Following<S> {
    store: S,
    local: Arc<Local>,
    config: FollowConfig,
    cancel: CancellationToken,
    progress: watch::Sender<FollowProgress>,
}

impl<S: LtxStore> Following<S> {
    async fn run(self) {
        loop {
            let turn = async {
                self.news().await?;
                self.turn().await
            };
            let problem = match turn.await {
                Ok(stuck) => stuck,
                Err(error) => Some((error.in_words(), error.is_transient())),
            };
            let pause = problem.is_some();
            self.report_problem(problem);
            if pause {
                self.unless_cancelled(sleep(RETRY)).await;
            }
            if self.cancel.is_cancelled() {
                break;
            }
        }
        if let Err(error) = blocking(&self.local, Local::flush).await {
            tracing::warn!(
                problem = error.in_words(),
                "the end of the replica is not on the disk: check the disk"
            );
        }
    }

    /// Waits until there may be something new, or the follower is to stop; makes durable
    /// meanwhile what was applied a while ago.
    async fn news(&self) -> Result<(), FollowError> {
        let since = self.local.unflushed_since();
        if let Some(since) = since {
            let wait = FLUSH_AFTER.saturating_sub(since.elapsed());
            let news = self.unless_cancelled(self.store.changed(self.config.poll));
            if !wait.is_zero() && timeout(wait, news).await.is_ok() {
                return Ok(());
            }
            blocking(&self.local, Local::flush).await?;
        }
        self.unless_cancelled(self.store.changed(self.config.poll)).await;
        Ok(())
    }

    /// `None` when the follower is to stop.
    async fn unless_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        self.cancel.run_until_cancelled(future).await
    }

    /// Brings the replica to the end of the bucket; returns what is in the way, and whether it
    /// may go away by itself.
    async fn turn(&self) -> Result<Option<(String, bool)>, FollowError> {
        let Some(files) = self.unless_cancelled(self.store.list()).await else { return Ok(None) };
        let files = files?;
        self.progress.send_modify(|p| p.bucket_tip = plan::tip(&files));
        let settled = settle::settle(&self.store, &self.local, &self.config, &files).await?;
        if settled == Settled::Newest {
            self.progress.send_modify(|p| {
                p.phase = FollowPhase::Waiting;
                p.position = None;
                p.lag = Duration::ZERO;
            });
            return Ok(None);
        }
        loop {
            let begun = Instant::now();
            let report = |done_bytes, total_bytes| self.report_download(done_bytes, total_bytes);
            let prepare = step::prepare(&self.store, &self.local, &files, report);
            let Some(step) = self.unless_cancelled(prepare).await else { return Ok(None) };
            let position = match step? {
                Step::Done(position) => {
                    self.report_position(position, &files);
                    return Ok(None);
                }
                Step::Stuck(position, stuck) => {
                    self.report_position(position, &files);
                    return Ok(Some((stuck.to_string(), false)));
                }
                Step::SetAside => {
                    let max = self.config.aside_max;
                    let check = move |local: &Local| local.check_aside(&local.paths().replica, max);
                    blocking(&self.local, check).await?;
                    step::commit(&self.local, Step::SetAside).await?
                }
                work @ Step::Apply(_) => step::commit(&self.local, work).await?,
                work @ Step::Rebuild(_) => {
                    let position = step::commit(&self.local, work).await?;
                    self.progress.send_modify(|p| p.restoring += begun.elapsed());
                    position
                }
            };
            self.report_position(position, &files);
            if position.is_some_and(|position| position.txid == plan::tip(&files)) {
                return Ok(None);
            }
        }
    }

    fn report_download(&self, done_bytes: u64, total_bytes: u64) {
        self.progress.send_modify(|p| {
            let before = match p.phase {
                FollowPhase::Rebuilding { done_bytes, .. } => done_bytes,
                FollowPhase::Idle | FollowPhase::Waiting | FollowPhase::Following => 0,
            };
            // A download that begins again begins at 0.
            p.restored_bytes += done_bytes.saturating_sub(before);
            p.phase = FollowPhase::Rebuilding { done_bytes, total_bytes };
        });
    }

    fn report_position(&self, position: Option<Position>, files: &[LtxInfo]) {
        let at = position.map_or(Txid::ZERO, |p| p.txid);
        let lag = plan::oldest_missing_ms(files, at).map_or(Duration::ZERO, age);
        self.progress.send_modify(|p| {
            p.position = position;
            p.lag = lag;
            p.phase = position.map_or(FollowPhase::Idle, |_| FollowPhase::Following);
        });
    }

    /// Logs a problem when it is a new one.
    fn report_problem(&self, problem: Option<(String, bool)>) {
        self.progress.send_if_modified(|p| {
            let words = problem.as_ref().map(|(words, _)| words.clone());
            if p.problem == words {
                return false;
            }
            match &problem {
                Some((words, true)) => tracing::info!(problem = %words, "following is delayed"),
                Some((words, false)) => tracing::warn!(problem = %words, "following is stuck"),
                None => tracing::info!("following again"),
            }
            p.problem = words;
            true
        });
    }
}

/// The time since a moment of the wall clock; zero when it is in the future.
fn age(timestamp_ms: i64) -> Duration {
    let then = Duration::from_millis(u64::try_from(timestamp_ms).unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(then)
}
