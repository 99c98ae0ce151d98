//! Checkpoints and snapshots.

use std::time::Duration;

use ccm_types::{BootClock, Monotonic, Txid};

use super::super::chain::{Read, Seal};
use super::super::error::CaptureError;
use super::super::image::Range;
use super::Thread;

/// After a seal that did not succeed.
const SEAL_AGAIN: Duration = Duration::from_millis(100);

/// Times that the WAL is read and copied before the write lock is taken, so that it is short.
/// Writers that are faster than that wait meanwhile.
const NARROWINGS: u32 = 4;

/// Groups of commits that are made files in one of those times.
const BEFORE_LOCK: u32 = 8;

/// Bytes of the WAL that may as well be read under the write lock.
const UNDER_LOCK: u64 = 1 << 20;

/// Frames of the WAL that may as well be copied under the write lock.
const COPIED_UNDER_LOCK: u64 = 500;

/// Length in bytes that the WAL keeps. One that has grown beyond, for a transaction, an outage
/// or a long reader, is cut when that is over.
const WAL_KEEPS: u64 = 16 << 20;

/// How long nobody can commit while readers are waited for.
const PATIENCE: Duration = Duration::from_millis(60);

/// Between two waits for readers; it doubles.
pub(super) const PATIENT_EVERY_MIN: Duration = Duration::from_millis(250);

/// The longest time between two waits for readers.
const PATIENT_EVERY_MAX: Duration = Duration::from_secs(10);

impl Thread {
    /// Checkpoints a long WAL and takes a snapshot when one is due.
    pub(super) fn tidy(&mut self) -> Result<(), CaptureError> {
        let now = BootClock.now();
        let idle = self.has_room() && self.flushes.is_empty() && !self.broken;
        if !idle || now < self.seal_at || self.snapshots.is_copying() {
            return Ok(());
        }
        let waiting = !self.queue.is_empty();
        let due = !waiting && self.snapshots.is_due(self.chain.tip(), now);
        let frames = self.chain.frames();
        // By the time the write lock is held: an application that checkpoints by itself begins to
        // try at 1000 pages, after every commit.
        let soon = frames + 2 * self.growth(frames);
        let long = soon > u64::from(self.parts.config.checkpoint_pages).max(self.seal_frames);
        let nothing_new = self.chain.is_sealed() && self.ahead == 0;
        if !due && (!long || nothing_new) {
            return Ok(());
        }
        let seen = self.noticed.unwrap_or(now);
        if !self.narrow(seen)? {
            return Ok(());
        }
        let patience = self.patience(now);
        let _paused = self.brake.pause();
        match self.chain.seal(Some(patience), seen, &mut self.queue)? {
            Seal::Busy => self.seal_at = BootClock.now() + SEAL_AGAIN,
            Seal::Broken => self.breaks(),
            Seal::Sealed(frames) => {
                let whole = frames.copied == frames.committed;
                let some = u64::from(self.parts.config.checkpoint_pages / 4);
                self.seal_frames = if whole { 0 } else { frames.committed + some };
                (self.noticed, self.ahead) = (None, 0);
                if whole && !due && self.chain.wal_len() > WAL_KEEPS {
                    self.chain.cut()?;
                }
                if due {
                    let tip = self.chain.tip();
                    let timestamp_ms = self.chain.timestamp_ms();
                    let range = Range { min: Txid::new(1), max: tip, timestamp_ms };
                    let picture = self.chain.picture(frames)?;
                    let to = self.chain.spooled("snapshot");
                    self.snapshots.copy(picture, range, to, self.parts.messages.clone())?;
                }
            }
        }
        Ok(())
    }

    /// By how many frames the WAL has grown from one look to the next.
    fn growth(&mut self, frames: u64) -> u64 {
        let (before, _) = self.grown;
        if frames != before {
            self.grown = (frames, frames.checked_sub(before).unwrap_or(frames));
        }
        self.grown.1
    }

    /// How long readers are waited for. Readers that follow one another without a pause keep the
    /// WAL from ever starting over, so when it is long they are; less and less often when that
    /// is in vain, for a reader may last.
    fn patience(&mut self, now: Monotonic) -> Duration {
        if self.chain.wal_in_use() <= WAL_KEEPS || !self.chain.is_held_up() {
            self.patient_every = PATIENT_EVERY_MIN;
            return Duration::ZERO;
        }
        if now < self.patient_at {
            return Duration::ZERO;
        }
        self.patient_at = now + self.patient_every;
        self.patient_every = (self.patient_every * 2).min(PATIENT_EVERY_MAX);
        PATIENCE
    }

    /// Reads and copies while others commit, so that little is left to do when they cannot;
    /// `false` when the chain breaks.
    fn narrow(&mut self, seen: Monotonic) -> Result<bool, CaptureError> {
        for _ in 0..NARROWINGS {
            if self.chain.ahead()? > UNDER_LOCK && !self.catch_up(seen)? {
                return Ok(false);
            }
            if self.chain.uncopied()? <= COPIED_UNDER_LOCK {
                break;
            }
            self.hold_back()?;
            self.chain.copy_ahead()?;
        }
        Ok(true)
    }

    /// Makes files of what can be read without the lock; `false` when the chain breaks.
    fn catch_up(&mut self, seen: Monotonic) -> Result<bool, CaptureError> {
        for _ in 0..BEFORE_LOCK {
            match self.chain.read(seen)? {
                Read::Batch(batch) => {
                    let more = batch.wal_bytes > UNDER_LOCK;
                    self.queue.push_back(batch);
                    self.hold_back()?;
                    if !more {
                        break;
                    }
                }
                Read::Nothing | Read::Busy => break,
                Read::Broken => {
                    self.breaks();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
