//! Bringing the replica to the end of the bucket, and applying files to it.

use std::rc::Rc;

use ccm_role::Outcome;
use ccm_types::{Epoch, Position};
use ccm_wal_ltx::plan::{self, Next, Stuck};
use ccm_wal_ltx::store::LtxInfo;

use super::{Stage, nothing};
use crate::disk::Replica;
use crate::nats::{Ask, Object, Said};
use crate::scenario::HostId;
use crate::time::{MS, S, Time};
use crate::world::World;

/// One attempt at the definitive catch-up.
pub(super) const WITHIN: Time = 60 * S;

/// Between two attempts after a failure.
const RETRY: Time = 500 * MS;

/// Files that are applied at a time.
pub(crate) const BATCH_FILES: usize = 256;

/// Bytes that are applied at a time.
pub(crate) const BATCH_BYTES: u64 = 32 << 20;

impl World {
    fn catch_again(&mut self, host: HostId) {
        let again = self.now + RETRY;
        let busy = self.lane_of(host).and_then(|lane| lane.busy.as_ref());
        let over = busy.is_none_or(|busy| again > busy.until);
        if over {
            self.files_done(host, nothing());
        } else {
            self.files_work(host, Stage::CatchPause, RETRY);
        }
    }

    pub(super) fn catch_list(&mut self, host: HostId, said: Said) {
        let Said::Files { files, .. } = said else {
            self.catch_again(host);
            return;
        };
        self.catch_next(host, files);
    }

    fn catch_next(&mut self, host: HostId, files: Rc<Vec<LtxInfo>>) {
        if self.disk_fails(host) {
            self.catch_again(host);
            return;
        }
        let names = match plan::next(&files, self.hosts[host].disk.replica_state()) {
            Next::Done => {
                let outcome = match self.hosts[host].disk.replica_at() {
                    Some(at) => Outcome::At(at),
                    None => Outcome::Permanent(String::from("the bucket is empty")),
                };
                self.files_done(host, outcome);
                return;
            }
            // What the replica has and the bucket lost is the newest data there is.
            Next::Stuck(Stuck::Ahead { at, .. }) => {
                self.files_done(host, Outcome::At(at));
                return;
            }
            Next::Stuck(stuck) => {
                self.files_done(host, Outcome::Permanent(stuck.to_string()));
                return;
            }
            Next::SetAside(_) => {
                self.set_replica_aside(host);
                return self.catch_next(host, files);
            }
            Next::Apply(names) => plan::batch(&files, &names, BATCH_FILES, BATCH_BYTES)
                .into_iter()
                .map(|info| info.name)
                .collect(),
            Next::Rebuild(base) => vec![base],
        };
        self.files_ask(host, Stage::CatchGet(files), Ask::Get(names));
    }

    pub(super) fn catch_get(&mut self, host: HostId, files: Rc<Vec<LtxInfo>>, said: Said) {
        let Said::Got(objects) = said else {
            self.catch_again(host);
            return;
        };
        self.tear(host, &objects);
        let time = self.disk_time(host);
        self.files_work(host, Stage::CatchApply(files, objects), time);
    }

    pub(super) fn caught(&mut self, host: HostId, files: Rc<Vec<LtxInfo>>, objects: &[Object]) {
        self.apply(host, objects);
        self.catch_next(host, files);
    }

    /// The first page is about to be written.
    pub(crate) fn tear(&mut self, host: HostId, objects: &[Object]) {
        let whole = objects.first().is_some_and(|object| object.from.is_none());
        let to = objects.last().map(|object| object.info.name.max);
        // A whole database is made beside and renamed.
        if let Some(replica) = self.hosts[host].disk.replica.as_mut().filter(|_| !whole) {
            replica.torn = replica.torn.max(to);
        }
    }

    /// The last page is written.
    pub(crate) fn apply(&mut self, host: HostId, objects: &[Object]) {
        let Some(last) = objects.last() else { return };
        self.check_applied(host, objects);
        let epoch = last.info.epoch.unwrap_or(Epoch::NONE);
        let old = self.hosts[host].disk.replica.as_ref().map_or(Epoch::NONE, |r| r.at.epoch);
        let epoch = if last.from.is_none() { epoch } else { epoch.max(old) };
        let at = Position::new(epoch, last.info.name.max);
        let timestamp_ms = Some(last.info.timestamp_ms);
        let torn = self.hosts[host]
            .disk
            .replica
            .as_ref()
            .and_then(|replica| replica.torn)
            .filter(|to| *to > at.txid && objects[0].from.is_some());
        self.hosts[host].disk.replica = Some(Replica { content: last.to, at, timestamp_ms, torn });
        self.say(host, || format!("the replica is at {at}: {}", last.to));
    }
}
