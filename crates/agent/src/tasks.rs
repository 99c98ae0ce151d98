//! The only place that starts tasks: each is named, tracked and cancelled.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that have died and not been noticed yet; one is enough to end the daemon.
const DEATHS_MAX: usize = 16;

/// A task has panicked: a half-alive daemon is worse than a dead one.
#[derive(Debug)]
pub(crate) struct TaskDied {
    pub(crate) name: &'static str,
}

/// The tasks of one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
    died: mpsc::Sender<TaskDied>,
    alive: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Tasks {
    /// No tasks yet; the receiver tells of those that panic.
    pub(crate) fn new() -> (Self, mpsc::Receiver<TaskDied>) {
        let (died, deaths) = mpsc::channel(DEATHS_MAX);
        let tasks = Self {
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
            died,
            alive: Arc::default(),
        };
        (tasks, deaths)
    }

    /// Runs `future` until it ends or everything is cancelled.
    pub(crate) fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.count(name, 1);
        let (tasks, cancel) = (self.clone(), self.cancel.clone());
        self.tracker.spawn(async move {
            let run = AssertUnwindSafe(future).catch_unwind();
            let done = cancel.run_until_cancelled(run).await;
            tasks.count(name, -1);
            if matches!(done, Some(Err(_))) {
                // A full queue means that the daemon is already told to end.
                tasks.died.try_send(TaskDied { name }).ok();
            }
        });
    }

    /// Cancels everything and waits; names what is still running after `within`.
    pub(crate) async fn stop(&self, within: Duration) {
        self.cancel.cancel();
        self.tracker.close();
        if tokio::time::timeout(within, self.tracker.wait()).await.is_err() {
            let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tracing::info!(?alive, ?within, "tasks were still busy and are cut off");
        }
    }

    fn count(&self, name: &'static str, change: isize) {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let count = alive.entry(name).or_default();
        *count = count.saturating_add_signed(change);
        if *count == 0 {
            alive.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_named_and_the_others_are_cancelled_by_stop() {
        let (tasks, mut deaths) = Tasks::new();
        tasks.spawn("waits", std::future::pending());
        tasks.spawn("fails", async { panic!("on purpose") });
        assert_eq!(deaths.recv().await.unwrap().name, "fails");
        tasks.stop(Duration::from_secs(10)).await;
        assert!(tasks.alive.lock().unwrap().is_empty());
    }
}
