//! Compaction and retention beside a capture: levels above 0 are made, and what is not needed
//! any more goes, under the fence of the same term.
//!
//! One pass lists the bucket, makes what [`plan::due`] says, lists again and deletes what
//! [`plan::expired`] says. Passes begin at the boundaries of the lowest level. The inputs of a
//! compaction are downloaded, merged and stored in this order; the bucket holds them until a later
//! pass deletes them, so that the process may die at any moment: either the merged file is
//! there, or it is made again.
//!
//! # The store
//!
//! The body of a merged file goes up unguarded, 1 MiB at a time; only its metadata, and the
//! tombstone of a deletion, take a turn among the guarded publishes, of which one is in flight per
//! bucket. A capture waits for at most one of those of a compactor.
//!
//! # A new primary
//!
//! *It moves the fence before a metadata message of ours.* The server refuses ours, put or
//! tombstone: the compactor ends, and its chunks are removed or stay until the new primary's
//! sweep. *Between a tombstone and the purges that follow it.* The new primary lists a deleted
//! object either way; the purges name what they remove by a sequence that no later message has,
//! and by an id that no other upload uses (see [`LtxStore::sweep`]). *While we merge.* Nothing
//! is written. *Between two deletions.* Every part of them leaves a bucket from which
//! everything can be restored that a whole pass leaves.
//!
//! # A damaged file
//!
//! A file whose content breaks its checksum cannot be merged, nor can what comes after it be merged
//! with what was before. [`CompactProgress::damaged`] names it. When a snapshot that ends no
//! earlier was read back from the bucket as it was stored, and the file was found damaged twice,
//! it is deleted: nobody can use it, a restore to the newest state and a passive node that is
//! behind go by the snapshot, and compaction goes on after the hole. Until then it stays, and so
//! does everything else.
//!
//! # Bounds
//!
//! 256 inputs are open at a time; of more the first 256 become one in the spool, and so on. Of
//! them 32 MiB are in memory, the others in the spool, with the result when it is large; a
//! compaction of the default schedule takes at most 2 GiB of inputs.

mod damage;
mod error;
mod fetch;
mod merge;
mod pass;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

#[cfg(doc)]
use crate::plan;
use crate::plan::{Retention, Schedule};
use crate::store::{Fence, LtxName, LtxStore};
pub use error::CompactError;
pub use pass::{Pass, pass};

/// The first pause after a failure; it doubles.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Between two looks for leftovers of interrupted work.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// [`CompactConfig::settle`] by default.
const SETTLE: Duration = Duration::from_secs(150);

/// How the bucket is kept small.
#[derive(Debug, Clone)]
pub struct CompactConfig {
    /// A folder for files on their way; may be that of a capture.
    pub spool: PathBuf,
    /// When levels are made.
    pub schedule: Schedule,
    /// How long files stay.
    pub retention: Retention,
    /// How long a file that was made late must have been in the bucket before what it contains
    /// may go: longer than the server's `sync_interval`, which is 2 minutes by default.
    pub settle: Duration,
}

impl CompactConfig {
    /// Litestream's levels, and its retention of level 0; everything else for `history`.
    #[must_use]
    pub fn new(spool: PathBuf, history: Duration) -> Self {
        Self {
            spool,
            schedule: Schedule::default(),
            retention: Retention::new(history),
            settle: SETTLE,
        }
    }
}

/// What the compactor has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactProgress {
    /// Files in the bucket after the last pass.
    pub files: usize,
    /// Files of levels above 0 made.
    pub compacted_total: u64,
    /// Files deleted.
    pub deleted_total: u64,
    /// What is in the way, in words.
    pub problem: Option<String>,
    /// It may go away by itself.
    pub passing: bool,
    /// A file that cannot be read because it is damaged. A snapshot that ends no earlier makes it
    /// superfluous: once there is one, the file goes.
    pub damaged: Option<LtxName>,
    /// It has ended for good: the bucket refuses this epoch.
    pub fenced: bool,
}

/// A running compactor. Dropping it ends it without waiting.
#[derive(Debug)]
pub struct Compactor {
    progress: watch::Receiver<CompactProgress>,
    cancel: DropGuard,
    tracker: TaskTracker,
}

impl Compactor {
    /// Begins to compact under the fence of a term. It goes on through every failure but one:
    /// when the bucket refuses the epoch it ends.
    ///
    /// What an earlier compactor has left in the spool is removed.
    #[must_use]
    pub fn start<S: LtxStore>(store: S, fence: Fence, config: CompactConfig) -> Self {
        let cancel = CancellationToken::new();
        let (sender, progress) = watch::channel(CompactProgress::default());
        let tracker = TaskTracker::new();
        let work = Work { store, fence, config, progress: sender, tracker: tracker.clone() };
        let token = cancel.clone();
        tracker.spawn(async move {
            token.run_until_cancelled(work.run()).await;
        });
        Self { progress, cancel: cancel.drop_guard(), tracker }
    }

    /// What it has done, as it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<CompactProgress> {
        self.progress.clone()
    }

    /// Ends it; nothing is written to the spool or sent to the store when this returns.
    pub async fn stop(self) {
        self.cancel.disarm().cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

struct Work<S> {
    store: S,
    fence: Fence,
    config: CompactConfig,
    progress: watch::Sender<CompactProgress>,
    tracker: TaskTracker,
}

/// What a compactor remembers.
struct State {
    /// The spool holds nothing of an earlier one.
    cleared: bool,
    sweep_at: Instant,
    seen: pass::Seen,
    /// The file that the last pass has found damaged.
    damaged: Option<LtxName>,
}

impl<S: LtxStore> Work<S> {
    async fn run(self) {
        let (mut wait, mut pause) = (self.until_boundary(), PAUSE_MIN);
        let mut state = State {
            cleared: false,
            sweep_at: Instant::now(),
            seen: pass::Seen::default(),
            damaged: None,
        };
        loop {
            tokio::time::sleep(wait).await;
            match self.turn(&mut state).await {
                Ok(()) => {
                    self.report(None);
                    (wait, pause) = (self.until_boundary(), PAUSE_MIN);
                }
                Err(error) => {
                    self.report(Some(&error));
                    if error.is_fenced() {
                        return;
                    }
                    (wait, pause) = (pause, (pause * 2).min(PAUSE_MAX));
                    // Work was interrupted.
                    state.sweep_at = Instant::now();
                }
            }
        }
    }

    async fn turn(&self, state: &mut State) -> Result<(), CompactError> {
        if !state.cleared {
            fetch::clear(&self.config.spool).await?;
            state.cleared = true;
        }
        let parts = (&self.tracker, &mut state.seen);
        let (done, result) =
            pass::run(&self.store, self.fence, &self.config, now_ms(), parts).await;
        self.progress.send_modify(|p| {
            p.files = done.files;
            p.compacted_total += done.compacted;
            p.deleted_total += done.deleted;
        });
        self.heal(state, result.as_ref().err().and_then(CompactError::damaged)).await?;
        result?;
        if Instant::now() >= state.sweep_at {
            let removed = self.store.sweep(self.fence).await?;
            if removed == 0 {
                state.sweep_at = Instant::now() + SWEEP_EVERY;
            } else {
                tracing::info!(removed, "removed what interrupted work had left in the bucket");
            }
        }
        Ok(())
    }

    /// Removes a file that was found damaged twice and is superfluous.
    async fn heal(&self, state: &mut State, found: Option<LtxName>) -> Result<(), CompactError> {
        let before = std::mem::replace(&mut state.damaged, found);
        let Some(name) = found.filter(|_| before == found) else { return Ok(()) };
        if damage::heal(&self.store, self.fence, name, &self.config.spool).await? {
            self.progress.send_modify(|p| p.deleted_total += 1);
        }
        Ok(())
    }

    /// Until the present slot of the lowest level ends.
    fn until_boundary(&self) -> Duration {
        let interval = self.config.schedule.intervals.first().map_or(PAUSE_MAX, |i| *i);
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let now = u64::try_from(now_ms()).unwrap_or(0);
        Duration::from_millis(interval - now % interval)
    }

    /// Reports a problem, and logs it when it is a new one.
    fn report(&self, error: Option<&CompactError>) {
        self.progress.send_if_modified(|p| {
            let problem = error.map(CompactError::in_words);
            if p.problem == problem {
                return false;
            }
            p.fenced = error.is_some_and(CompactError::is_fenced);
            p.damaged = error.and_then(CompactError::damaged);
            p.passing = error.is_some_and(CompactError::is_transient);
            let transient = error.is_some_and(CompactError::is_transient);
            match &problem {
                Some(problem) if p.fenced => tracing::info!(%problem, "compaction has ended"),
                Some(problem) if transient => tracing::info!(%problem, "compaction is delayed"),
                Some(problem) => tracing::warn!(%problem, "the bucket is not kept small"),
                None => tracing::info!("the bucket is kept small again"),
            }
            p.problem = problem;
            true
        });
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
