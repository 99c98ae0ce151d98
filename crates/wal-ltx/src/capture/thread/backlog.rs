//! What waits for the bucket, and what is done when that is much.

use std::time::Duration;

use ccm_types::BootClock;

use super::super::brake::{Load, pressure};
use super::super::error::CaptureError;
use super::Thread;

/// Files that wait for the bucket. Then the WAL grows instead.
const QUEUE_MAX: usize = 1024;

impl Thread {
    fn waiting(&self) -> u64 {
        self.queue.iter().map(|batch| batch.bytes).sum()
    }

    /// Whether more files may wait for the bucket.
    pub(super) fn has_room(&mut self) -> bool {
        let bytes = self.waiting();
        let room = self.queue.len() < QUEUE_MAX && bytes < self.parts.config.backlog_max;
        if !room && !self.full {
            tracing::warn!(
                files = self.queue.len(),
                bytes,
                "the spool is full of commits that wait for the bucket: until it is back the WAL \
                 grows; see that the disk has room"
            );
        }
        self.full = !room;
        room
    }

    /// Holds the application back as far as the backlog asks for it.
    pub(super) fn hold_back(&mut self) -> Result<(), CaptureError> {
        let idle = self.queue.is_empty() && self.in_flight.is_none();
        let load = Load {
            wal: self.chain.wal_in_use(),
            waiting: (self.waiting(), self.queue.len() as u64),
            waiting_max: (self.parts.config.backlog_max, QUEUE_MAX as u64),
            stalled: if idle { Duration::ZERO } else { BootClock.now().since(self.moved_at) },
        };
        // An application that has stopped commits nothing.
        let ending = !self.flushes.is_empty();
        let pressure = pressure(&load).filter(|_| !ending);
        let holds = pressure.is_some();
        if holds && !self.holds_back {
            tracing::warn!(
                wal_bytes = load.wal,
                waiting_bytes = load.waiting.0,
                waiting_files = load.waiting.1,
                "commits come faster than the bucket takes them and are held back, up to 50 ms \
                 at a time: see whether NATS or its disk is slow, or let the application write less"
            );
        } else if !holds && self.holds_back {
            tracing::info!(held_back = ?self.brake.held(), "commits are not held back any more");
        }
        self.holds_back = holds;
        self.brake.apply(pressure)
    }
}
