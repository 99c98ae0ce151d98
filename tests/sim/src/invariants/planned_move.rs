//! **A planned move loses nothing** (P3): after a release that ends a planned move, whoever
//! serves next has every commit of the epoch that was released.
//!
//! That also holds when the bucket has lost its objects, because the lease names the position, but
//! not for a data file of its own that a node goes on with, which has none; not when an operator
//! has promoted a node, who may know that the rest is lost; not when a leadership that never served
//! was lost in between, which named nothing; and not when NATS never took the release, so that the
//! lease has run out instead.

use ccm_election::Change;
use ccm_role::Phase;
use ccm_types::{Epoch, Position, Txid};
use ccm_wal_ltx::plan::Placing;

use crate::content::Version;
use crate::mutant::Mutant;
use crate::scenario::HostId;
use crate::world::World;

impl World {
    /// A backend has committed.
    pub(crate) fn check_commit(&mut self, host: HostId, version: Version) {
        let stamp = self.hosts[host].disk.stamp;
        let epoch = stamp.map_or(Epoch::NONE, |stamp| stamp.epoch);
        self.checks.last_commit[host] = Some((epoch, version));
        if stamp.is_none_or(|stamp| stamp.clean_txid.is_some()) {
            let words = format!("host {host} commits to a file that is marked clean or unserved");
            self.violated("newest_data", words);
        }
    }

    /// Leases as they were won, whatever the node makes of it.
    pub(crate) fn note_handed_over(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Won { epoch, released: Some(_), .. } = change {
                self.checks.handed_over = Some(*epoch);
            }
        }
    }

    /// A final flush has ended: everything is in the bucket.
    pub(crate) fn check_flushed(&mut self, host: HostId, at: Position) {
        let content = self.hosts[host].disk.data.as_ref().map(crate::disk::Data::content);
        self.say(host, || format!("flushed to {at}: {content:?}"));
    }

    /// The machine gives the lease back.
    pub(crate) fn check_release(&mut self, host: HostId, txid: Txid) {
        let Some(daemon) = &self.hosts[host].daemon else { return };
        let status = daemon.machine.status();
        // A flush that has failed for good releases at no position.
        let broken = self.mutant == Some(Mutant::ReleaseBeforeFlush);
        let planned = status.phase == Phase::Demoting && (txid > Txid::ZERO || broken);
        // A leadership that has not served passes on the position of the one before.
        let wrote = |epoch: &Epoch| {
            self.checks.last_commit[host].is_some_and(|(made, _)| made == *epoch) || broken
        };
        if let Some(epoch) = status.epoch.filter(|epoch| planned && wrote(epoch)) {
            self.checks.planned = Some((host, epoch));
        }
    }

    pub(super) fn check_planned(
        &mut self,
        host: HostId,
        epoch: Epoch,
        placing: Placing,
        content: Version,
    ) {
        let Some((from, released)) = self.checks.planned.filter(|(_, old)| *old < epoch) else {
            return;
        };
        self.checks.planned = None;
        let Some((made, last)) = self.checks.last_commit[from] else { return };
        let kept = made != released || self.is_prefix(content, last);
        let named = epoch == released.next()
            && self.checks.handed_over == Some(epoch)
            && placing != Placing::Keep
            && !self.scenario.promotes();
        if !kept && !self.scenario.loses_lease() && (named || !self.scenario.loses_objects()) {
            let words = format!(
                "host {host} serves {content} in epoch {epoch}, host {from} had {last} when it \
                 moved away in epoch {released}"
            );
            self.violated("planned_move", words);
        }
    }
}
