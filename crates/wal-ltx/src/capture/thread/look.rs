//! Looking at the WAL: the next file, or how much there will be.

use std::time::Duration;

use ccm_types::{BootClock, Monotonic};

use super::super::chain::Read;
use super::super::error::CaptureError;
use super::Thread;

/// Between two proofs that an idle WAL has been read to its end.
const PROVE: Duration = Duration::from_secs(1);

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
        if now < self.read_at {
            return Ok(());
        }
        let prove = now >= self.prove_at;
        let seen = self.noticed.unwrap_or(now);
        let read = if prove { self.chain.read_to_the_end(seen) } else { self.chain.read(seen) };
        match read? {
            Read::Batch(batch) => self.queue.push_back(batch),
            Read::Nothing => {
                let after = BootClock.now();
                // Of a large transaction that is not complete yet, not over and over again.
                self.read_at = after + after.since(now) * 2;
                if prove {
                    self.prove_at = after + PROVE;
                }
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
        let after = BootClock.now();
        self.ahead_at = after + after.since(now) * 2;
        if self.ahead > 0 {
            self.noticed.get_or_insert(now);
            self.ahead_at = self.ahead_at.max(after + self.parts.config.poll);
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
