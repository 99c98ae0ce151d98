//! **The epoch grows**: every leadership has a higher epoch than all before it. An adopted lease
//! keeps the epoch that it has.
//!
//! When NATS has lost what it acknowledged, an epoch may be given twice; the fence decides then
//! which of the two may write. A host whose clock stood still may learn of a lease that it once won
//! when that is long over.

use ccm_types::Epoch;

use crate::scenario::HostId;
use crate::world::World;

impl World {
    pub(super) fn check_epoch(&mut self, host: HostId, epoch: Epoch, adopted: bool) {
        let highest = self.checks.highest;
        let grows = if adopted { epoch >= highest } else { epoch > highest };
        let believed = self.scenario.loses_lease() || self.scenario.stops_clocks();
        if !grows && !believed {
            let words = format!("host {host} wins epoch {epoch} after epoch {highest}");
            self.violated("epoch_grows", words);
        }
        self.checks.highest = highest.max(epoch);
    }
}
