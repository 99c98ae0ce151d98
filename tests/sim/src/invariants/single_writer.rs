//! **Single writer** (P1): at no moment do backends run on two hosts.
//!
//! A host that stands still runs nothing. When it goes on, its guard and its backend begin to run
//! in the same moment; for [`WAKING`] both may be seen, and what is committed then never gets
//! into the bucket (the fence) nor is it lost (it is set aside).
//!
//! When NATS has lost an acknowledged write of the lease, two nodes hold it by right; the one
//! that was overtaken learns of it within its lease, so two backends may run for that long. A
//! clock that stands still while time passes keeps a lease for as long as it stood still.

use crate::daemon::TIMING;
use crate::scenario::HostId;
use crate::time::{MS, Time, micros};
use crate::world::World;

/// What a guard needs to end a backend after its host stood still.
pub(super) const WAKING: Time = 100 * MS;

/// From the last renewal to the end of everything, by the slowest clock.
fn lease() -> Time {
    micros(TIMING.ttl) * 102 / 100
}

impl World {
    /// Whether what runs on a host counts at this moment.
    pub(super) fn counts(&self, host: HostId) -> bool {
        let it = &self.hosts[host];
        let stopped = self.scenario.stops_clocks();
        let waking = if stopped { lease() } else { WAKING };
        it.power && !it.frozen && it.thawed_at.is_none_or(|at| self.now >= at + waking)
    }

    fn serving(&self) -> Vec<HostId> {
        (0..self.hosts.len())
            .filter(|host| self.hosts[*host].backend.alive && self.counts(*host))
            .collect()
    }

    /// Something about what a host serves has changed.
    pub(crate) fn check_serving(&mut self, host: HostId) {
        self.check_vip(host);
        let serving = self.serving();
        if serving.len() < 2 {
            self.checks.overlap_since = None;
            return;
        }
        let since = *self.checks.overlap_since.get_or_insert(self.now);
        let allowed = if self.scenario.loses_lease() { lease() } else { 0 };
        if self.now - since >= allowed {
            self.violated("single_writer", format!("backends run on hosts {serving:?}"));
        }
    }

    /// Once more when nothing has changed for a while.
    pub(crate) fn check_waking(&mut self) {
        if !self.hosts.is_empty() {
            self.check_serving(0);
        }
    }
}
