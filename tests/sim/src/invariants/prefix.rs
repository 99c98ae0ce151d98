//! **Survivors form a prefix** (P4, P7): every file is applied to what it goes on from or contains,
//! so that a replica is always what some database was; and whoever serves has everything that a
//! primary before was told to be in the bucket.
//!
//! What the bucket itself has lost is not promised. Nor that histories are told apart when it has
//! lost the lease as well and two primaries write by right; when it has gone back to just before
//! the fence of a primary that still writes, and gives the next fence the same sequence; and when
//! a replica comes back so late that only merged files reach over its end (ADR 4).

use ccm_types::Epoch;
use ccm_wal_ltx::plan::Placing;
use ccm_wal_ltx::store::Level;

use crate::content::Version;
use crate::files::Running;
use crate::nats::Object;
use crate::scenario::HostId;
use crate::world::World;

impl World {
    /// Files are applied to a replica.
    pub(crate) fn check_applied(&mut self, host: HostId, objects: &[Object]) {
        let replica = self.hosts[host].disk.replica.as_ref().map(|replica| replica.content);
        let mut at = replica;
        for object in objects {
            // What was merged may begin before the replica and contain what it is.
            let fits = match (object.from, at) {
                (None, _) => true,
                (Some(from), Some(at)) => self.is_prefix(at, from) && self.is_prefix(object.to, at),
                (Some(_), None) => false,
            };
            // Nothing in a merged file tells what the replica was told by a file that is gone.
            let merged = object.info.name.level != Level::L0 && self.scenario.loses_objects();
            let told = !self.scenario.loses_everything() && !self.nats.token_twice && !merged;
            if !fits && told {
                let words = format!(
                    "host {host} applies {} (from {:?}) to {at:?}",
                    object.info.name, object.from
                );
                self.violated("prefix", words);
            }
            at = Some(object.to);
        }
        let merged = objects.iter().any(|object| object.info.name.level != Level::L0);
        if let (Some(before), Some(after)) = (replica, at)
            && !(merged && self.scenario.loses_objects())
        {
            self.check_replaced(host, before, after);
        }
    }

    /// A primary was told that the bucket has what it has captured.
    pub(crate) fn check_durable(&mut self, host: HostId) {
        let Some(daemon) = &self.hosts[host].daemon else { return };
        let Running::Capturing(capture) = &daemon.files.running else { return };
        let at = capture.durable_at();
        if self.versions.contains(self.checks.durable, at) {
            // An upload that was stored long ago and is answered now.
            return;
        }
        if !self.versions.contains(at, self.checks.durable) && !self.scenario.loses_objects() {
            let words = format!("the bucket goes from {} to {at}", self.checks.durable);
            self.violated("prefix", words);
        }
        self.checks.durable = at;
    }

    /// The data that is to be served is in its place.
    pub(crate) fn check_placed(&mut self, host: HostId, epoch: Epoch, placing: Placing) {
        let Some(data) = &self.hosts[host].disk.data else { return };
        let content = data.content();
        if epoch < self.checks.fenced {
            // For a leadership that is over meanwhile: it will not be served.
            return;
        }
        self.checks.placed = self.checks.placed.max(epoch);
        self.check_planned(host, epoch, placing, content);
        let durable = self.checks.durable;
        if !self.versions.contains(content, durable) && !self.scenario.loses_objects() {
            let words = format!(
                "host {host} is to serve {content} in epoch {epoch}; the bucket had {durable}"
            );
            self.violated("prefix", words);
        }
    }

    /// The backend starts.
    pub(crate) fn check_start(&mut self, host: HostId) {
        if self.hosts[host].disk.data.is_none() {
            self.violated("prefix", format!("a backend starts on host {host} without data"));
        }
    }

    pub(super) fn is_prefix(&self, later: Version, earlier: Version) -> bool {
        self.versions.contains(later, earlier)
    }
}
