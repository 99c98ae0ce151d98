//! **Nothing newer is overwritten** (P5, P6): a data file makes room only for data that has all
//! of it, is set aside otherwise, and becomes the replica only when the bucket has exactly what
//! it has. A replica is replaced only by what has all of it.
//!
//! This holds whatever NATS has lost.

use ccm_types::Position;

use crate::content::Version;
use crate::scenario::HostId;
use crate::world::World;

impl World {
    /// A data file is replaced without being set aside.
    pub(crate) fn check_overwritten(&mut self, host: HostId, old: Version, new: Version) {
        if !self.is_prefix(new, old) {
            let words = format!("on host {host} {old} is overwritten by {new}");
            self.violated("newest_data", words);
        }
    }

    /// A replica has become something else.
    pub(super) fn check_replaced(&mut self, host: HostId, old: Version, new: Version) {
        if !self.is_prefix(new, old) {
            let words = format!("the replica of host {host} goes from {old} to {new}");
            self.violated("newest_data", words);
        }
    }

    /// A data file has become the replica.
    pub(crate) fn check_retired(&mut self, host: HostId, at: Position, content: Version) {
        let stored = self.nats.content_at(at.txid);
        if stored.is_some_and(|stored| stored != content) {
            let words = format!(
                "host {host} calls {content} its replica at {at}, where the bucket has {stored:?}"
            );
            self.violated("newest_data", words);
        }
    }
}
