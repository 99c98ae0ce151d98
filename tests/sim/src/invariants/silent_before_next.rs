//! **A demoted node is silent before another may serve** (P1): when a lease is won, no other
//! host has a backend or the virtual IP, although the winner needs a while before it serves.
//!
//! Not promised when NATS has lost an acknowledged write of the lease, nor for a host whose
//! clock stood still, nor for the addresses that `vip` excepts.

use ccm_types::Epoch;

use crate::scenario::HostId;
use crate::world::World;

impl World {
    /// A host has won the lease.
    pub(crate) fn check_won(&mut self, host: HostId, epoch: Epoch, adopted: bool) {
        self.checks.wins += 1;
        self.say(host, || format!("wins epoch {epoch}"));
        self.check_epoch(host, epoch, adopted);
        if self.scenario.loses_lease() || !self.counts(host) {
            return;
        }
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            if !self.counts(other) {
                continue;
            }
            let it = &self.hosts[other];
            if it.backend.alive {
                let words = format!("host {host} wins epoch {epoch}, host {other} has a backend");
                self.violated("silent_before_next", words);
            } else if self.has_address(other) {
                let words = format!("host {host} wins epoch {epoch}, host {other} has the address");
                self.violated("silent_before_next", words);
            }
        }
    }
}
