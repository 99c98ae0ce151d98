//! What goes into the bucket, and how soon.

use std::sync::Arc;

use ccm_health::metrics::Counts;
use ccm_types::{BootClock, Monotonic};
use ccm_wal_ltx::capture::CaptureProgress;
use tokio::sync::watch;

use crate::files::View;

/// Sees every capture of this daemon.
pub(crate) async fn watch_shipments(mut view: watch::Receiver<View>, counts: Arc<Counts>) {
    loop {
        let capturing = match &*view.borrow_and_update() {
            View::Capturing(capturing) => Some(capturing.progress.clone()),
            View::Idle | View::Following(_) => None,
        };
        let of_capture = async {
            if let Some(progress) = capturing {
                watch_capture(progress, &counts).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = of_capture => {}
        }
    }
}

/// Sees one capture to its end.
async fn watch_capture(mut progress: watch::Receiver<CaptureProgress>, counts: &Counts) {
    let mut seen = Seen::default();
    loop {
        let now = progress.borrow_and_update().clone();
        seen.note(&now, BootClock.now(), counts);
        if progress.changed().await.is_err() {
            return;
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
    use ccm_types::{ClusterId, NodeId, Txid};

    use super::*;
    use crate::metrics::steps::tests::values;

    #[test]
    fn the_time_for_which_commits_are_held_back_is_added_up_over_captures() {
        let counts = Counts::new(&ClusterId::new("test").unwrap(), &NodeId::new("me").unwrap());
        let held_back = |millis| CaptureProgress {
            held_back: std::time::Duration::from_millis(millis),
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
