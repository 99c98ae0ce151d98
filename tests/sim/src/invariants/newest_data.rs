//! **The newest data wins and nothing newer is overwritten** (P5, P6): a data file of the last
//! leadership makes room only for data that has all of it; an older one too, or it is set aside;
//! it becomes the replica only when the bucket has exactly what it has. A replica is replaced
//! only by what has all of it.
//!
//! This holds whatever NATS has lost, but for the first: when the bucket has forgotten an epoch
//! the data file of that epoch still wins where it is, and nobody knows of it elsewhere; and for
//! the last, when two primaries write by right: both the lease and the objects were lost, or the
//! bucket has gone back behind the fence between them; or when the clock of a primary was set back,
//! so that a torn replica looks like one of another history and is begun again (ADR 4).

use ccm_types::Position;

use crate::content::Version;
use crate::scenario::HostId;
use crate::world::World;

impl World {
    /// A data file makes room.
    pub(crate) fn check_newest(&mut self, host: HostId, next: Version) {
        let disk = &self.hosts[host].disk;
        let (Some(data), Some(stamp)) = (&disk.data, disk.stamp) else { return };
        let (old, last) = (data.content(), stamp.epoch >= self.checks.placed);
        if last && !self.is_prefix(next, old) && !self.scenario.loses_objects() {
            let words =
                format!("host {host} leaves {old} of the last epoch {} for {next}", stamp.epoch);
            self.violated("newest_data", words);
        }
    }

    /// A replica is set aside: only a bucket that has lost something goes on without one. When the
    /// clock of a primary was set back, its earlier files may look as if they were later.
    pub(crate) fn check_aside(&mut self, host: HostId, old: Version) {
        if !self.scenario.loses_objects() && !self.scenario.sets_clocks() {
            let words = format!("host {host} sets its replica aside at {old}, nothing was lost");
            self.violated("newest_data", words);
        }
    }

    /// A data file is replaced without being set aside.
    pub(crate) fn check_overwritten(&mut self, host: HostId, old: Version, new: Version) {
        if !self.is_prefix(new, old) {
            let words = format!("on host {host} {old} is overwritten by {new}");
            self.violated("newest_data", words);
        }
    }

    /// A replica has become something else.
    pub(crate) fn check_replaced(&mut self, host: HostId, old: Version, new: Version) {
        let fenced = !self.nats.token_twice && !self.nats.fence_forgotten;
        let replica = self.hosts[host].disk.replica.as_ref();
        let torn = replica.is_some_and(|replica| replica.torn.is_some());
        let doubted = torn && self.scenario.sets_clocks();
        let told_apart = !self.scenario.loses_everything() && fenced && !doubted;
        if !self.is_prefix(new, old) && told_apart {
            let words = format!("the replica of host {host} goes from {old} to {new}");
            self.violated("newest_data", words);
        }
    }

    /// A data file has become the replica.
    pub(crate) fn check_retired(&mut self, host: HostId, at: Position, content: Version) {
        let stored = self.nats.content_at(at.txid);
        if self.scenario.loses_objects() {
            // Told from the bucket's by its commit time, and set aside, before it is used.
            return;
        }
        if stored.is_some_and(|stored| stored != content) {
            let words = format!(
                "host {host} calls {content} its replica at {at}, where the bucket has {stored:?}"
            );
            self.violated("newest_data", words);
        }
    }
}
