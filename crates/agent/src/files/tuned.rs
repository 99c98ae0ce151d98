//! What of the files may change while the daemon runs.

use std::time::Duration;

use ccm_wal_ltx::capture::CaptureConfig;
use ccm_wal_ltx::compact::CompactConfig;
use ccm_wal_ltx::follow::FollowConfig;

use super::{Files, Running, State};
use crate::Tunables;

/// The numbers in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuned {
    snapshot_interval: Duration,
    retention: Duration,
    diverged_max: u64,
}

impl Tuned {
    pub(super) fn of(all: &Tunables) -> Self {
        Self {
            snapshot_interval: all.snapshot_interval,
            retention: all.retention,
            diverged_max: all.diverged_max,
        }
    }

    pub(super) fn follow(self, lane: &Files) -> FollowConfig {
        FollowConfig { aside_max: Some(self.diverged_max), ..FollowConfig::new(lane.node.clone()) }
    }

    pub(super) fn capture(self, lane: &Files) -> CaptureConfig {
        CaptureConfig {
            snapshot_interval: self.snapshot_interval,
            ..CaptureConfig::new(lane.data.clone(), lane.local.state_dir().to_path_buf())
        }
    }

    pub(super) fn compact(self, lane: &Files) -> CompactConfig {
        CompactConfig::new(lane.local.state_dir().to_path_buf(), self.retention)
    }
}

impl State {
    /// Takes new numbers into what runs. A follower and a compactor begin again with them, a
    /// capture goes on.
    pub(super) async fn tune(&mut self, new: Tuned) {
        let old = std::mem::replace(&mut self.tuned, new);
        match std::mem::replace(&mut self.running, Running::Nothing) {
            Running::Nothing => {}
            Running::Following(follower) if old.diverged_max != new.diverged_max => {
                follower.stop().await;
                self.follow();
            }
            Running::Following(follower) => self.running = Running::Following(follower),
            Running::Capturing(capture, compactor) => {
                if old.snapshot_interval != new.snapshot_interval {
                    capture.snapshots().every(new.snapshot_interval);
                }
                let compactor = match (compactor, self.fence) {
                    (Some(compactor), Some(fence)) if old.retention != new.retention => {
                        compactor.stop().await;
                        Some(self.compact(&capture, fence))
                    }
                    (compactor, _) => compactor,
                };
                self.running = Running::Capturing(capture, compactor);
            }
        }
    }
}
