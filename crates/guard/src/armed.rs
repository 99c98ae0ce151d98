//! The deadline a guard keeps.

use ccm_types::{Epoch, Monotonic};
use serde::{Deserialize, Serialize};

use crate::wire::{Refusal, RefusalCode};

/// Until when the backend may run, and how it ends after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    /// The epoch of the lease.
    pub epoch: Epoch,
    /// The daemon that holds it; a daemon that adopts the backend gives its own.
    pub instance: String,
    /// When the backend gets SIGTERM unless the lease has been renewed.
    pub valid_until: Monotonic,
    /// When everything that is left gets SIGKILL.
    pub kill_at: Monotonic,
    /// When nothing may be left; kept for whoever asks, the guard does not act on it.
    pub gone_by: Monotonic,
}

impl Armed {
    /// Whether this may take the place of `old`, whose deadline has passed when `expired`.
    pub(crate) fn may_replace(
        &self,
        old: Option<(&Self, bool)>,
        now: Monotonic,
    ) -> Result<(), Refusal> {
        if !(self.valid_until <= self.kill_at && self.kill_at <= self.gone_by) {
            let words = "the moments of a deadline must be in order: valid_until, kill_at, gone_by";
            return Err(Refusal::new(RefusalCode::Invalid, words));
        }
        if let Some((old, expired)) = old {
            if self.epoch < old.epoch {
                let words = format!("epoch {} is over, epoch {} is armed", self.epoch, old.epoch);
                return Err(Refusal::new(RefusalCode::OlderEpoch, words));
            }
            if self.epoch == old.epoch && expired {
                let words = format!("the lease of epoch {} ran out, it cannot go on", old.epoch);
                return Err(Refusal::new(RefusalCode::DeadlinePassed, words));
            }
            if self.epoch == old.epoch && self.valid_until < old.valid_until {
                let words = "an earlier renewal: a later deadline of this epoch is armed";
                return Err(Refusal::new(RefusalCode::Backwards, words));
            }
        }
        if self.valid_until <= now {
            let words = format!("the deadline of epoch {} has already passed", self.epoch);
            return Err(Refusal::new(RefusalCode::DeadlinePassed, words));
        }
        Ok(())
    }
}
