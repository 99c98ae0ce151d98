//! **Fence** (P2): once a node has passed the rung of the fence, no write of an earlier epoch is
//! stored.
//!
//! Not promised when the bucket has forgotten the fence itself.

use ccm_types::Epoch;

use crate::nats::{Ask, Said};
use crate::scenario::HostId;
use crate::world::World;

impl World {
    /// What a request is about, before it is answered.
    pub(crate) fn before_ask(&self, ask: &Ask) -> Option<(Epoch, usize)> {
        match ask {
            Ask::Put { fence, .. } => Some((fence.epoch, self.nats.objects())),
            Ask::Delete { .. } | Ask::MoveFence { .. } | Ask::Fence | Ask::List | Ask::Get(_) => {
                None
            }
        }
    }

    /// What was asked is answered.
    pub(crate) fn after_ask(&mut self, host: HostId, put: Option<(Epoch, usize)>, said: &Said) {
        let Some((epoch, before)) = put else { return };
        let stored = matches!(said, Said::Stored(_)) && self.nats.objects() > before;
        let newest = self.checks.fenced;
        if stored && epoch < newest && !self.scenario.loses_objects() {
            let words = format!("host {host} stores in epoch {epoch}, the fence is at {newest}");
            self.violated("fence", words);
        }
    }
}
