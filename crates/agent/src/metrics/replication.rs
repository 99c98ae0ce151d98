//! What goes into the bucket and what comes out of it, and how soon.

use std::sync::Arc;

use ccm_health::metrics::Counts;
use ccm_types::{BootClock, Monotonic, Txid};
use ccm_wal_ltx::capture::CaptureProgress;
use ccm_wal_ltx::follow::FollowProgress;
use tokio::sync::watch;

use crate::files::View;

/// Sees every capture and every follower of this daemon.
pub(crate) async fn watch_replication(mut view: watch::Receiver<View>, counts: Arc<Counts>) {
    loop {
        let now = view.borrow_and_update().clone();
        let watching = async {
            match now {
                View::Capturing(capturing) => {
                    let mut seen = Seen::default();
                    let note = |progress: &CaptureProgress, now| seen.note(progress, now, &counts);
                    watch_progress(capturing.progress, note).await;
                }
                View::Following(progress) => {
                    let mut seen = Applied::default();
                    let note = |progress: &FollowProgress, now| seen.note(progress, now, &counts);
                    watch_progress(progress, note).await;
                }
                View::Idle => {}
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = watching => {}
        }
    }
}

/// Sees one capture or follower to its end.
async fn watch_progress<T: Clone>(
    mut progress: watch::Receiver<T>,
    mut note: impl FnMut(&T, Monotonic),
) {
    loop {
        let now = progress.borrow_and_update().clone();
        note(&now, BootClock.now());
        if progress.changed().await.is_err() {
            return;
        }
    }
}

/// The last look at a follower.
#[derive(Debug, Default)]
struct Applied {
    at: Txid,
    /// When a change was first seen in the bucket that the replica lacks.
    behind_since: Option<Monotonic>,
    restored: (u64, std::time::Duration),
}

impl Applied {
    fn note(&mut self, progress: &FollowProgress, now: Monotonic, counts: &Counts) {
        let (bytes, took) = (progress.restored_bytes, progress.restoring);
        if (bytes, took) != self.restored {
            let (before, spent) = std::mem::replace(&mut self.restored, (bytes, took));
            counts.restored(bytes.saturating_sub(before), took.saturating_sub(spent));
        }
        let at = progress.position.map_or(Txid::ZERO, |position| position.txid);
        let begins = self.at == Txid::ZERO;
        if at > self.at {
            let since = self.behind_since.take();
            // A replica that is begun has seen no change.
            if let Some(since) = since.filter(|_| !begins) {
                counts.applied(now.since(since));
            }
        }
        self.at = at;
        if progress.bucket_tip <= at {
            self.behind_since = None;
        } else {
            self.behind_since.get_or_insert(now);
        }
    }
}

/// The last look at a capture.
#[derive(Debug, Default)]
struct Seen {
    progress: Option<CaptureProgress>,
}

impl Seen {
    fn note(&mut self, progress: &CaptureProgress, now: Monotonic, counts: &Counts) {
        let last = self.progress.replace(progress.clone()).unwrap_or_default();
        counts.shipped_bytes(progress.shipped_bytes_total.saturating_sub(last.shipped_bytes_total));
        counts.held_back(progress.held_back.saturating_sub(last.held_back));
        // A commit that was first heard of when it was in the bucket says nothing.
        if progress.txid > last.txid
            && let Some(seen) = last.oldest_unshipped
        {
            counts.shipped(now.since(seen));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ccm_types::{ClusterId, Epoch, NodeId, Position};
    use ccm_wal_ltx::follow::FollowPhase;

    use super::*;
    use crate::metrics::steps::tests::values;

    #[test]
    fn the_time_for_which_commits_are_held_back_is_added_up_over_captures() {
        let counts = Counts::new(&ClusterId::new("test").unwrap(), &NodeId::new("me").unwrap());
        let held_back = |millis| CaptureProgress {
            held_back: Duration::from_millis(millis),
            ..CaptureProgress::default()
        };
        let now = Monotonic::from_millis(1);
        for capture in [&[0, 250, 250, 750][..], &[0, 125]] {
            let mut seen = Seen::default();
            capture.iter().for_each(|millis| seen.note(&held_back(*millis), now, &counts));
        }
        assert_eq!(values(&counts, "ccm_commits_held_back_seconds_total", ""), ["0.875"]);
    }

    #[test]
    fn what_is_applied_is_timed_and_what_is_restored_is_counted() {
        let counts = Counts::new(&ClusterId::new("test").unwrap(), &NodeId::new("me").unwrap());
        let progress = |at: Option<u64>, tip, restored, millis| FollowProgress {
            position: at.map(|txid| Position::new(Epoch::new(1), Txid::new(txid))),
            bucket_tip: Txid::new(tip),
            lag: Duration::ZERO,
            phase: FollowPhase::Following,
            problem: None,
            restored_bytes: restored,
            restoring: Duration::from_millis(millis),
        };
        let mut seen = Applied::default();
        let table = [
            (progress(None, 0, 0, 0), 100),
            (progress(None, 5, 0, 0), 110),
            (progress(None, 5, 4000, 0), 120),
            // The replica has begun: that is no change that was applied.
            (progress(Some(5), 5, 4000, 15), 130),
            (progress(Some(5), 6, 4000, 15), 200),
            (progress(Some(6), 6, 4000, 15), 240),
            // Half of what is there.
            (progress(Some(6), 9, 4000, 15), 300),
            (progress(Some(8), 9, 4000, 15), 310),
            (progress(Some(9), 9, 4000, 15), 350),
            (progress(Some(9), 9, 4000, 15), 400),
        ];
        for (progress, now) in table {
            seen.note(&progress, Monotonic::from_millis(now), &counts);
        }
        assert_eq!(values(&counts, "ccm_apply_seconds_count", ""), ["3"]);
        assert_eq!(values(&counts, "ccm_apply_seconds_sum", ""), ["0.09"]);
        assert_eq!(values(&counts, "ccm_restore_bytes_total", ""), ["4000"]);
        assert_eq!(values(&counts, "ccm_restore_seconds_total", ""), ["0.015"]);
    }

    #[test]
    fn bytes_and_latency_are_of_what_the_bucket_has_acknowledged() {
        let counts = Counts::new(&ClusterId::new("test").unwrap(), &NodeId::new("me").unwrap());
        let at = Monotonic::from_millis;
        let progress = |txid, bytes, oldest: Option<u64>| CaptureProgress {
            txid: Txid::new(txid),
            shipped_bytes_total: bytes,
            oldest_unshipped: oldest.map(at),
            ..CaptureProgress::default()
        };
        let mut seen = Seen::default();
        let table = [
            (progress(5, 0, None), 100),
            (progress(5, 0, Some(110)), 110),
            (progress(6, 70, Some(110)), 150),
            (progress(6, 70, None), 151),
            // The commit was never seen without the bucket having it.
            (progress(7, 90, None), 160),
            // A snapshot.
            (progress(7, 1090, None), 170),
        ];
        for (progress, now) in table {
            seen.note(&progress, at(now), &counts);
        }
        assert_eq!(values(&counts, "convex_cluster_wal_bytes_total", ""), ["1090"]);
        assert_eq!(values(&counts, "ccm_ship_seconds_count", ""), ["1"]);
        assert_eq!(values(&counts, "ccm_ship_seconds_sum", ""), ["0.04"]);
    }
}
