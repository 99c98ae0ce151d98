//! Moving the files of a node. Several renames are one: a crash leaves all of them or none.

use ccm_role::{Operation, Outcome, Verdict};
use ccm_types::{Epoch, Position};
use ccm_wal_ltx::local::Stamp;
use ccm_wal_ltx::plan::{self, Placing};

use super::{Busy, Running, Stage};
use crate::content::Version;
use crate::disk::{Data, Replica};
use crate::mutant::Mutant;
use crate::scenario::HostId;
use crate::world::World;

impl World {
    /// Files are in their new places.
    pub(super) fn move_files(&mut self, host: HostId) {
        let operation = self
            .lane_of(host)
            .and_then(|lane| lane.busy.as_ref())
            .and_then(|busy| busy.operation.clone());
        if self.disk_fails(host) {
            let why = String::from("the disk fails");
            self.files_done(host, Outcome::Transient(why));
            return;
        }
        let outcome = match operation {
            Some(Operation::Place { verdict, epoch }) => self.place(host, verdict, epoch),
            Some(Operation::Retire { at }) => self.retire(host, at),
            _ => return,
        };
        self.files_done(host, outcome);
    }

    fn place(&mut self, host: HostId, verdict: Verdict, epoch: Epoch) -> Outcome {
        let verdict = match verdict {
            Verdict::Keep => plan::Verdict::Keep,
            Verdict::Swap => plan::Verdict::Swap,
            Verdict::Create => plan::Verdict::Create,
        };
        let disk = &self.hosts[host].disk;
        let placing = plan::placing(verdict, disk.present(), disk.replica_at(), epoch);
        let mut base = None;
        let mut clean_txid = None;
        match placing {
            Placing::Done => base = disk.stamp.and_then(|stamp| stamp.clean_txid),
            Placing::Keep => {}
            Placing::Swap { aside } => {
                let Some(replica) = self.hosts[host].disk.replica.take() else {
                    return Outcome::Permanent(String::from("no replica"));
                };
                base = Some(replica.at.txid);
                clean_txid = base;
                self.check_newest(host, replica.content);
                self.leave_data(host, aside, replica.content);
                self.hosts[host].disk.data = Some(Data::of(replica.content));
            }
            Placing::Create => {
                self.hosts[host].disk.data = Some(Data::of(Version::default()));
            }
            Placing::NothingToKeep | Placing::NoReplica | Placing::Occupied => {
                return Outcome::Permanent(format!("{placing:?}"));
            }
        }
        if placing != Placing::Done {
            self.hosts[host].disk.stamp = Some(Stamp { epoch, clean_txid });
        }
        if let Some(lane) = self.lane_of(host) {
            lane.base = base;
        }
        self.say(host, || format!("placed: {placing:?}"));
        self.check_placed(host, epoch, placing);
        if self.mutant == Some(Mutant::LateFence) {
            let node = self.hosts[host].node.clone();
            let ask = crate::nats::Ask::MoveFence { epoch, node };
            if let crate::nats::Said::Moved(fence) = self.nats.ask(self.now, ask)
                && let Some(lane) = self.lane_of(host)
            {
                lane.fence = Some(fence);
            }
        }
        Outcome::Ok
    }

    /// The data file makes room for what contains `next`.
    fn leave_data(&mut self, host: HostId, aside: bool, next: Version) {
        let Some(data) = self.hosts[host].disk.data.take() else { return };
        if aside {
            self.hosts[host].disk.aside.push(data.content());
        } else {
            self.check_overwritten(host, data.content(), next);
        }
    }

    /// The data file becomes the replica.
    pub(crate) fn retire(&mut self, host: HostId, at: Position) -> Outcome {
        let disk = &mut self.hosts[host].disk;
        let Some(data) = disk.data.take() else {
            return Outcome::Permanent(String::from("no data file"));
        };
        disk.stamp = None;
        let old = disk.replica.take().map(|replica| replica.content);
        disk.replica =
            Some(Replica { content: data.content(), at, timestamp_ms: None, torn: None });
        self.say(host, || format!("the data file is the replica at {at}: {}", data.content()));
        self.check_retired(host, at, data.content());
        if let Some(old) = old {
            self.check_replaced(host, old, data.content());
        }
        Outcome::Ok
    }

    /// The replica gets another name.
    pub(crate) fn set_replica_aside(&mut self, host: HostId) {
        let disk = &mut self.hosts[host].disk;
        if let Some(replica) = disk.replica.take() {
            disk.aside.push(replica.content);
            self.say(host, || format!("the replica is set aside: {}", replica.content));
            self.check_aside(host, replica.content);
        }
    }

    /// The data file gets another name.
    pub(crate) fn set_aside(&mut self, host: HostId) {
        let disk = &mut self.hosts[host].disk;
        if let Some(data) = disk.data.take() {
            disk.aside.push(data.content());
            disk.stamp = None;
            self.say(host, || format!("set aside: {}", data.content()));
        }
    }

    /// The daemon dies in the middle of it: what was written down is finished at the next start,
    /// what was not has not begun.
    pub(crate) fn interrupt_files(&mut self, host: HostId) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let busy = daemon.files.busy.take();
        let following = std::mem::take(&mut daemon.files.running);
        let written_down = self.random.one_in(2);
        let operation = match busy {
            Some(Busy { stage: Stage::Move, operation, .. }) if written_down => operation,
            Some(_) | None => None,
        };
        if let Some(Operation::Place { verdict, epoch }) = operation {
            self.place(host, verdict, epoch);
        } else if let Some(Operation::Retire { at }) = operation {
            self.retire(host, at);
        }
        if let Running::Following(follow) = following
            && written_down
        {
            self.finish_follower_move(host, follow);
        }
    }
}
