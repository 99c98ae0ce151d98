//! Looking at the WAL: the next file, or how much there will be.

use std::time::Duration;

use ccm_types::{BootClock, Monotonic};

use super::super::chain::Read;
use super::super::error::CaptureError;
use super::Thread;

/// After a write to the WAL that is no commit yet. SQLite says without a further write to a file
/// that it has become one.
const AGAIN: Duration = Duration::from_millis(1);

impl Thread {
    /// Makes the next file when nothing is on its way, else looks how much there will be.
    pub(super) fn look(&mut self) -> Result<(), CaptureError> {
        let now = BootClock.now();
        if self.broken {
            return self.whole(now);
        }
        if !self.queue.is_empty() || self.in_flight.is_some() {
            return self.look_ahead(now);
        }
        if now < self.gather_until && self.flushes.is_empty() {
            return Ok(());
        }
        let seen = self.noticed.unwrap_or(now);
        match self.chain.read(seen)? {
            Read::Batch(batch) => self.queue.push_back(batch),
            Read::Nothing | Read::Busy => {
                self.again = (AGAIN + now.since(self.written_at) / 4).min(self.parts.config.poll);
            }
            Read::Broken => self.breaks(),
        }
        self.noticed = None;
        self.ahead = 0;
        Ok(())
    }

    fn look_ahead(&mut self, now: Monotonic) -> Result<(), CaptureError> {
        if now < self.ahead_at {
            return Ok(());
        }
        self.ahead = self.chain.ahead()?;
        if self.ahead > 0 {
            self.noticed.get_or_insert(now);
            self.ahead_at = now + self.parts.config.poll;
        }
        Ok(())
    }

    pub(super) fn breaks(&mut self) {
        tracing::warn!(
            "the WAL started over without ccm: shipping the whole database; let nothing but the \
             backend and ccm open it"
        );
        self.broken = true;
    }

    /// Ships the whole database as the next transaction.
    fn whole(&mut self, now: Monotonic) -> Result<(), CaptureError> {
        if now < self.seal_at {
            return Ok(());
        }
        self.snapshots.interrupt();
        let seen = self.noticed.unwrap_or(now);
        let _paused = self.brake.pause();
        match self.chain.whole(seen, &self.parts.cancel)? {
            Some(batch) => {
                self.queue.push_back(batch);
                self.broken = false;
                self.noticed = None;
                self.ahead = 0;
            }
            None => self.seal_at = BootClock.now() + self.parts.config.poll,
        }
        Ok(())
    }
}
