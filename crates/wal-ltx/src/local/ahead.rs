//! A replica that is ahead of its durable position.
//!
//! What is applied is announced durably and then written without waiting for the disk. Only this
//! process knows how far the replica is then; [`Local::flush`] makes it durable. To whoever opens
//! the files after a crash the replica is torn, from the durable position to the announced end, as
//! if one batch had been interrupted, and is repaired in the same way.

use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use ccm_types::{Epoch, Position, Txid};

use super::intent::{Intents, slot};
use super::{Intent, Local, LocalError, PositionRecord, Replica, Writable, disk, records};

/// What this process has under way.
#[derive(Debug, Default)]
pub(super) struct Working {
    intents: Option<Intents>,
    ahead: Option<Ahead>,
    /// Where others see how far the replica is.
    reached: Option<Writable>,
}

/// The replica while pages are written to it.
#[derive(Debug)]
pub(crate) struct Writing {
    /// Open until all is durable: the system tells a failed write to whoever has the file open.
    file: Writable,
    /// The announced end.
    to: Txid,
    /// Since when something is not durable.
    since: Instant,
}

impl Writing {
    /// The file.
    pub(crate) fn file(&self) -> &Writable {
        &self.file
    }
}

/// A replica with pages that are not durable, and what it contains.
#[derive(Debug)]
struct Ahead {
    writing: Writing,
    record: PositionRecord,
}

impl Local {
    fn working(&self) -> MutexGuard<'_, Working> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the replica is when it is ahead; the caller has the turn.
    pub(super) fn ahead(&self) -> Result<Option<Replica>, LocalError> {
        let mut working = self.working();
        let Some(Ahead { writing, record }) = &working.ahead else { return Ok(None) };
        if !writing.file.is_named()? {
            working.ahead = None;
            return Ok(None);
        }
        let len = disk::len(&self.paths.replica)?;
        Ok(Some(records::replica(Some(*record), Some(writing.to), len)))
    }

    /// The epoch of a position that only this process knows of.
    pub(super) fn ahead_epoch(&self) -> Option<Epoch> {
        self.working().ahead.as_ref().map(|ahead| ahead.record.epoch)
    }

    /// Since when something that was applied is not durable; `None` when all is.
    pub(crate) fn unflushed_since(&self) -> Option<Instant> {
        self.working().ahead.as_ref().map(|ahead| ahead.writing.since)
    }

    /// Announces durably that pages up to `to` are about to be written over `from`. Until
    /// [`Local::applied`] the replica is torn. The caller has the turn.
    pub(crate) fn announce(&self, from: Position, to: Txid) -> Result<Writing, LocalError> {
        let (intents, ahead) = {
            let mut working = self.working();
            (working.intents.take(), working.ahead.take())
        };
        let (file, since) = match ahead {
            Some(Ahead { writing, .. }) => (writing.file, writing.since),
            None => (Writable::open(&self.paths.replica)?, Instant::now()),
        };
        let path = self.record("intent.json");
        let intent = Intent { from, to };
        let there = intents.as_ref().map_or(Ok(false), Intents::is_named)?;
        let intents = match intents.filter(|_| there) {
            Some(mut intents) => {
                intents.announce(&path, intent)?;
                intents
            }
            None => Intents::begin(&path, intent)?,
        };
        self.working().intents = Some(intents);
        Ok(Writing { file, to, since })
    }

    /// All pages up to `record` have been written; the caller has the turn.
    pub(crate) fn applied(
        &self,
        writing: Writing,
        record: PositionRecord,
    ) -> Result<(), LocalError> {
        let path = self.record("reached.json");
        let mut working = self.working();
        let reached = match working.reached.take() {
            Some(reached) => reached,
            None => Writable::create(&path, disk::RECORD_MODE)?,
        };
        reached.write_at(&slot(&path, &record)?, 0)?;
        working.reached = Some(reached);
        working.ahead = Some(Ahead { writing, record });
        Ok(())
    }

    /// Makes durable what was applied.
    ///
    /// # Errors
    /// [`LocalError::Io`]: the replica is torn then, and the same files have to be applied again.
    pub fn flush(&self) -> Result<(), LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        self.flush_in_turn()
    }

    /// The same, for a caller that has the turn.
    pub(super) fn flush_in_turn(&self) -> Result<(), LocalError> {
        let Some(Ahead { writing, record }) = self.working().ahead.take() else { return Ok(()) };
        writing.file.sync_data()?;
        disk::write_record(&self.record("position.json"), &record)
    }

    /// The replica is about to be another file.
    pub(super) fn forget_ahead(&self) {
        *self.working() = Working::default();
    }
}
