//! The follower: settles the data file, then keeps the replica at the end of the bucket.

use std::rc::Rc;

use ccm_types::{Epoch, Position, Txid};
use ccm_wal_ltx::plan::{self, Next, Settle};
use ccm_wal_ltx::store::LtxInfo;

use crate::disk::Data;
use crate::files::Running;
use crate::files::catch_up::{BATCH_BYTES, BATCH_FILES};
use crate::nats::{Ask, Object, Said};
use crate::scenario::HostId;
use crate::time::{MS, S, Time};
use crate::world::{What, World};

/// Between two looks at the bucket.
const POLL: Time = S;

/// After a failure.
const RETRY: Time = 500 * MS;

/// How far a turn is.
#[derive(Debug)]
enum Stage {
    /// Until the next look.
    Waiting,
    Listing,
    /// Reading the fence, to settle the data file.
    Fence(Rc<Vec<LtxInfo>>),
    /// Reading a header, to settle the data file.
    Head(Rc<Vec<LtxInfo>>, Txid),
    Getting(Rc<Vec<LtxInfo>>),
    /// Files are being applied.
    Applying(Rc<Vec<LtxInfo>>, Vec<Object>),
    /// The data file becomes the replica, or is set aside.
    Moving(Rc<Vec<LtxInfo>>, Option<Position>),
}

/// A follower that runs.
#[derive(Debug)]
pub(crate) struct Follow {
    stage: Stage,
    call: u64,
    number: u64,
    pub(crate) stopping: bool,
}

impl Follow {
    /// Whether what it does is finished once begun.
    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.stage, Stage::Applying(..) | Stage::Moving(..))
    }
}

impl World {
    fn follow_of(&mut self, host: HostId) -> Option<&mut Follow> {
        match &mut self.lane_of(host)?.running {
            Running::Following(follow) => Some(follow),
            Running::Nothing | Running::Capturing(_) => None,
        }
    }

    pub(crate) fn start_following(&mut self, host: HostId) {
        let Some(lane) = self.lane_of(host) else { return };
        match lane.running {
            Running::Following(_) | Running::Capturing(_) => return,
            Running::Nothing => {}
        }
        lane.running = Running::Following(Follow {
            stage: Stage::Waiting,
            call: 0,
            number: 0,
            stopping: false,
        });
        self.follow_after(host, Stage::Waiting, MS);
    }

    fn follow_after(&mut self, host: HostId, stage: Stage, delay: Time) {
        let number = self.number();
        let run = self.run_of(host);
        let Some(follow) = self.follow_of(host) else { return };
        follow.stage = stage;
        follow.number = number;
        self.after(delay, What::Follow { host, run, number });
    }

    fn follow_ask(&mut self, host: HostId, stage: Stage, ask: Ask) {
        let call = self.ask(host, ask);
        let Some(follow) = self.follow_of(host) else { return };
        follow.stage = stage;
        follow.call = call;
    }

    pub(crate) fn follow_wake(&mut self, host: HostId, number: u64) {
        let Some(follow) = self.follow_of(host).filter(|follow| follow.number == number) else {
            return;
        };
        match std::mem::replace(&mut follow.stage, Stage::Waiting) {
            Stage::Waiting => self.follow_ask(host, Stage::Listing, Ask::List),
            Stage::Applying(files, objects) => {
                self.apply(host, &objects);
                self.follow_on(host, files);
            }
            Stage::Moving(files, at) => {
                if self.disk_fails(host) {
                    self.follow_on_after_failure(host);
                    return;
                }
                self.settle_with(host, at);
                self.follow_on(host, files);
            }
            Stage::Listing | Stage::Fence(_) | Stage::Head(..) | Stage::Getting(_) => {}
        }
    }

    fn follow_on_after_failure(&mut self, host: HostId) {
        if self.follow_of(host).is_some_and(|follow| follow.stopping) {
            self.follower_stopped(host);
        } else {
            self.follow_after(host, Stage::Waiting, RETRY);
        }
    }

    fn settle_with(&mut self, host: HostId, at: Option<Position>) {
        match at {
            Some(at) => {
                self.retire(host, at);
            }
            None => self.set_aside(host),
        }
    }

    /// The daemon has died while the follower moved files: written down, so finished.
    pub(crate) fn finish_follower_move(&mut self, host: HostId, follow: Follow) {
        if let Stage::Moving(_, at) = follow.stage {
            self.settle_with(host, at);
        }
    }

    /// The data file is settled: the next step of the replica.
    fn follow_on(&mut self, host: HostId, files: Rc<Vec<LtxInfo>>) {
        if self.follow_of(host).is_none_or(|follow| follow.stopping) {
            self.follower_stopped(host);
            return;
        }
        if self.disk_fails(host) {
            self.follow_after(host, Stage::Waiting, RETRY);
            return;
        }
        let names = match plan::next(&files, self.hosts[host].disk.replica_state()) {
            Next::Done => return self.follow_after(host, Stage::Waiting, POLL),
            Next::Stuck(stuck) => {
                self.say(host, || format!("following is stuck: {stuck}"));
                return self.follow_after(host, Stage::Waiting, RETRY);
            }
            Next::SetAside(_) => {
                self.set_replica_aside(host);
                return self.follow_on(host, files);
            }
            Next::Apply(names) => plan::batch(&files, &names, BATCH_FILES, BATCH_BYTES)
                .into_iter()
                .map(|info| info.name)
                .collect(),
            Next::Rebuild(base) => vec![base],
        };
        self.follow_ask(host, Stage::Getting(files), Ask::Get(names));
    }

    /// An answer for the follower.
    pub(crate) fn follow_said(&mut self, host: HostId, call: u64, said: Said) {
        let Some(follow) = self.follow_of(host).filter(|follow| follow.call == call) else {
            return;
        };
        follow.call = 0;
        let stage = std::mem::replace(&mut follow.stage, Stage::Waiting);
        match (stage, said) {
            (Stage::Listing, Said::Files { files, .. }) => {
                if self.hosts[host].disk.data.is_some() {
                    self.follow_ask(host, Stage::Fence(files), Ask::Fence);
                } else {
                    self.follow_on(host, files);
                }
            }
            (Stage::Fence(files), Said::Standing(fence)) => {
                let it = &self.hosts[host];
                let stamp = it.disk.stamp;
                let epoch = stamp.map_or(Epoch::NONE, |stamp| stamp.epoch);
                match plan::settle(stamp, fence.as_ref(), &it.node, &files) {
                    Settle::Newest => self.follow_after(host, Stage::Waiting, POLL),
                    Settle::Retire(txid) => {
                        self.follow_move(host, files, Some(Position::new(epoch, txid)));
                    }
                    Settle::Ask(last) => {
                        let txid = last.name.max;
                        let ask = Ask::Get(vec![last.name]);
                        self.follow_ask(host, Stage::Head(files, txid), ask);
                    }
                    Settle::SetAside => self.follow_move(host, files, None),
                }
            }
            (Stage::Head(files, txid), Said::Got(objects)) => {
                let disk = &self.hosts[host].disk;
                let epoch = disk.stamp.map_or(Epoch::NONE, |stamp| stamp.epoch);
                let end = disk.data.as_ref().and_then(Data::wal_end);
                let same = end.is_some_and(|end| {
                    objects.first().is_some_and(|object| plan::ends_at(end, &object.header))
                });
                let at = same.then_some(Position::new(epoch, txid));
                self.follow_move(host, files, at);
            }
            (Stage::Getting(files), Said::Got(objects)) => {
                self.tear(host, &objects);
                let time = self.disk_time(host);
                self.follow_after(host, Stage::Applying(files, objects), time);
            }
            (_, _) => self.follow_after(host, Stage::Waiting, RETRY),
        }
    }

    fn follow_move(&mut self, host: HostId, files: Rc<Vec<LtxInfo>>, at: Option<Position>) {
        let time = self.disk_time(host);
        self.follow_after(host, Stage::Moving(files, at), time);
    }

    /// An answer for whatever runs on the files.
    pub(crate) fn said_to_running(&mut self, host: HostId, call: u64, said: Said) {
        if self.capture_of_is_some(host) {
            self.capture_said(host, call, &said);
        } else {
            self.follow_said(host, call, said);
        }
    }

    fn capture_of_is_some(&mut self, host: HostId) -> bool {
        self.lane_of(host).is_some_and(|lane| lane.is_capturing())
    }
}
