//! **The virtual IP is unique** (P1): never on two hosts that run, and once everything is healed
//! on the primary and nowhere else (the latter is checked with liveness).
//!
//! The exceptions are those of the single writer; an address that the kernel does not take away;
//! and one whose guard was killed, until a daemon has armed another: with both killed nobody is
//! left who could.

use crate::scenario::HostId;
use crate::time::S;
use crate::world::World;

impl World {
    /// Whether a host has the address although it could have been taken away.
    pub(super) fn has_address(&self, host: HostId) -> bool {
        let it = &self.hosts[host];
        it.vip && it.vip_fails_until + S < self.now && !it.vip_unguarded
    }

    pub(super) fn check_vip(&mut self, host: HostId) {
        if !self.hosts[host].vip || self.scenario.loses_lease() {
            return;
        }
        let holds = |other: &usize| self.has_address(*other) && self.counts(*other);
        let holders: Vec<HostId> = (0..self.hosts.len()).filter(holds).collect();
        if holders.len() > 1 {
            self.violated("vip", format!("the address is on hosts {holders:?}"));
        }
    }
}
