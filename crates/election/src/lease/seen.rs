//! What this node has itself seen at the key, and when that may be taken over.

use ccm_types::{Epoch, Monotonic};

use super::LeaseConfig;
use crate::{LeaseRecord, Revision, Timing};

/// The newest revision seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) revision: Revision,
    pub(super) record: Option<LeaseRecord>,
    /// When it was first seen, by this node's own clock; for own writes, when they were sent.
    pub(super) since: Monotonic,
    /// When the newest read that showed it was sent.
    pub(super) confirmed: Monotonic,
    /// After this node was blind: the last holder may have been as well, and goes first.
    pub(super) not_before: Monotonic,
}

impl Seen {
    /// Whether this is the same write: a server that was restored may give a revision twice.
    pub(super) fn is(&self, revision: Revision, record: Option<&LeaseRecord>) -> bool {
        let key = |r: &LeaseRecord| (r.instance.clone(), r.epoch, r.released);
        self.revision == revision && self.record.as_ref().map(key) == record.map(key)
    }

    /// When the key may be taken by compare-and-set on [`Seen::revision`].
    ///
    /// `highest` is the highest epoch ever seen: a key that vanished under a leader is not free.
    pub(super) fn free_at(&self, config: &LeaseConfig, highest: Epoch) -> Monotonic {
        let at_once = self.since + config.priority_delay;
        let Some(record) = &self.record else {
            return if highest == Epoch::NONE { at_once } else { self.after_silence(config) };
        };
        if !record.released {
            return self.after_silence(config);
        }
        match &record.successor {
            Some(successor) if *successor == config.node => self.since,
            Some(_) => self.after_silence(config),
            // Whoever has just stepped down lets the others have it.
            None if record.instance == config.instance => self.after_silence(config),
            None => at_once,
        }
    }

    /// The holder counts with its own ttl, which may be longer than ours.
    fn after_silence(&self, config: &LeaseConfig) -> Monotonic {
        let own = config.timing.takeover_after();
        let theirs = self.record.as_ref().map_or(own, |record| {
            let ttl = std::time::Duration::from_millis(record.ttl_ms);
            Timing { ttl, heartbeat: config.timing.heartbeat }.takeover_after()
        });
        let silent = self.since + own.max(theirs) + config.priority_delay;
        silent.max(self.not_before)
    }
}
