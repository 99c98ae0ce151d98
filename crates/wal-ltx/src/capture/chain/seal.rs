//! Capturing everything there is under the write lock, and proof that it was everything.

use std::rc::Rc;
use std::time::Duration;

use ccm_types::Monotonic;

use super::super::batch::Batch;
use super::super::error::CaptureError;
use super::super::sqlite::Frames;
use super::{Chain, Read, frames_before};

/// What became of an attempt to seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) enum Seal {
    /// Somebody holds the write lock.
    Busy,
    /// The chain does not go on.
    Broken,
    /// Sealed; the WAL is as SQLite said.
    Sealed(Frames),
}

impl Chain {
    /// Nobody commits; everything that is committed is made files of; then the WAL goes into the
    /// database file, as far as it can within `checkpoint`; without that it stays as it is.
    ///
    /// Not while a picture is being copied.
    pub(in crate::capture) fn seal(
        &mut self,
        checkpoint: Option<Duration>,
        seen: Monotonic,
        made: &mut impl Extend<Batch>,
    ) -> Result<Seal, CaptureError> {
        let database = Rc::clone(&self.database);
        let Some(locked) = database.lock()? else { return Ok(Seal::Busy) };
        loop {
            match self.read(seen)? {
                Read::Batch(batch) => made.extend([batch]),
                Read::Nothing => break,
                Read::Busy => return Ok(Seal::Busy),
                Read::Broken => return Ok(Seal::Broken),
            }
        }
        let frames = match checkpoint {
            Some(patience) => database.checkpoint(&locked, patience),
            None => database.hold_again(&locked),
        }?;
        if !self.is_at(frames)? {
            return Ok(Seal::Broken);
        }
        self.sealed = true;
        Ok(Seal::Sealed(frames))
    }

    /// Whether the chain ends where SQLite says that the WAL does.
    fn is_at(&self, frames: Frames) -> Result<bool, CaptureError> {
        if frames.committed == 0 {
            return Ok(true);
        }
        Ok(match (self.cursor, self.wal.header()?) {
            (Some(cursor), Some(header)) => {
                (cursor.salt1, cursor.salt2) == (header.salt1, header.salt2)
                    && frames_before(cursor) == frames.committed
            }
            (None, _) | (_, None) => false,
        })
    }
}
