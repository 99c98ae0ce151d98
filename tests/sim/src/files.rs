//! The daemon's lane of the files: one thing at a time, decided by the real plans.

mod begin;
pub(crate) mod catch_up;
mod place;

use std::collections::VecDeque;
use std::rc::Rc;

use ccm_role::{OpId, Operation, Outcome, Verdict};
use ccm_types::{Epoch, Position, Txid};
use ccm_wal_ltx::plan;
use ccm_wal_ltx::store::{Fence, LtxInfo};

use crate::capture::Capture;
use crate::follow::Follow;
use crate::mutant::Mutant;
use crate::nats::{Ask, Object, Said};
use crate::scenario::HostId;
use crate::time::{MS, S, Time};
use crate::world::{What, World};

/// One attempt at the final flush.
const FLUSH_WITHIN: Time = 2 * S;

/// For how long a listing must know of the last own write.
const CUT_OFF_MAX: Time = 30 * S;

/// What the lane is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    Follow,
    StopFollowing,
    Run(OpId, Operation),
}

/// What runs on the files.
#[derive(Debug, Default)]
pub(crate) enum Running {
    #[default]
    Nothing,
    Following(Follow),
    Capturing(Box<Capture>),
}

/// How far an operation is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The fence is being moved.
    Fence,
    /// The bucket is being listed, to compare.
    List,
    /// The header of the newest file is being read, to compare.
    Head,
    /// The bucket is being listed, to catch up.
    CatchList,
    /// Files are being read, to catch up.
    CatchGet(Rc<Vec<LtxInfo>>),
    /// They are being applied.
    CatchApply(Rc<Vec<LtxInfo>>, Vec<Object>),
    /// A moment, before it is tried again.
    CatchPause,
    /// Files are being moved.
    Move,
    /// The bucket is being listed, to begin a capture.
    BeginList,
    /// The header of its end is being read.
    BeginHead(Rc<Vec<LtxInfo>>),
    /// The capture ships what is left.
    Flush,
    /// The follower finishes what it is writing.
    StopFollowing,
}

/// The operation under way.
#[derive(Debug)]
pub(crate) struct Busy {
    /// `None` for [`Request::StopFollowing`].
    op: Option<OpId>,
    operation: Option<Operation>,
    stage: Stage,
    /// The call to the bucket that is waited for.
    call: u64,
    /// The work or deadline that is waited for.
    number: u64,
    until: Time,
}

/// The lane.
#[derive(Debug, Default)]
pub(crate) struct FilesLane {
    queue: VecDeque<Request>,
    busy: Option<Busy>,
    pub(crate) running: Running,
    pub(crate) fence: Option<Fence>,
    /// What the data file held when it was put in its place, without a WAL.
    base: Option<Txid>,
    /// The sequence of the last write of this node, and when it was made.
    pub(crate) seen: Option<(u64, Time)>,
    /// How often the bucket was seen to have lost something.
    pub(crate) losses: u64,
}

impl FilesLane {
    pub(crate) fn is_capturing(&self) -> bool {
        matches!(self.running, Running::Capturing(_))
    }
}

fn nothing() -> Outcome {
    Outcome::Transient(String::from("no answer from NATS"))
}

impl World {
    pub(crate) fn lane_of(&mut self, host: HostId) -> Option<&mut FilesLane> {
        self.hosts[host].daemon.as_mut().map(|daemon| &mut daemon.files)
    }

    pub(crate) fn ask_files(&mut self, host: HostId, request: Request) {
        let Some(lane) = self.lane_of(host) else { return };
        lane.queue.push_back(request);
        let writing = matches!(&lane.busy, Some(Busy { stage: Stage::CatchApply(..), .. }));
        let catching = matches!(&lane.busy, Some(Busy { operation: Some(Operation::CatchUp), .. }));
        if catching && !writing {
            let why = String::from("the catch-up was interrupted");
            self.files_done(host, Outcome::Transient(why));
        }
        self.pump_files(host);
    }

    pub(crate) fn pump_files(&mut self, host: HostId) {
        loop {
            let Some(lane) = self.lane_of(host) else { return };
            if lane.busy.is_some() {
                return;
            }
            let Some(request) = lane.queue.pop_front() else { return };
            match request {
                Request::Follow => self.start_following(host),
                Request::StopFollowing => self.stop_following(host),
                Request::Run(op, operation) => self.operate(host, op, operation),
            }
        }
    }

    /// Begins a stage that waits for a call.
    pub(crate) fn files_ask(&mut self, host: HostId, stage: Stage, ask: Ask) {
        let call = self.ask(host, ask);
        if let Some(busy) = self.lane_of(host).and_then(|lane| lane.busy.as_mut()) {
            busy.stage = stage;
            busy.call = call;
        }
    }

    /// Begins a stage that takes time.
    pub(crate) fn files_work(&mut self, host: HostId, stage: Stage, time: Time) {
        let number = self.number();
        let run = self.run_of(host);
        if let Some(busy) = self.lane_of(host).and_then(|lane| lane.busy.as_mut()) {
            busy.stage = stage;
            busy.number = number;
        }
        self.after(time, What::Files { host, run, number });
    }

    /// How long work on the disk takes.
    pub(crate) fn disk_time(&mut self, host: HostId) -> Time {
        let slow = self.hosts[host].disk.slow_until > self.now;
        if slow { self.random.between(MS, 3 * S) } else { self.random.between(100, 10_000) }
    }

    /// Whether the disk refuses at this moment.
    pub(crate) fn disk_fails(&self, host: HostId) -> bool {
        let disk = &self.hosts[host].disk;
        disk.failing_until > self.now || disk.full_until > self.now
    }

    /// The operation under way has ended.
    pub(crate) fn files_done(&mut self, host: HostId, outcome: Outcome) {
        let busy = self.lane_of(host).and_then(|lane| lane.busy.take());
        if let Some(op) = busy.and_then(|busy| busy.op) {
            self.done(host, op, outcome);
        }
        self.pump_files(host);
    }

    fn stop_following(&mut self, host: HostId) {
        let Some(lane) = self.lane_of(host) else { return };
        match &mut lane.running {
            Running::Following(follow) if follow.is_writing() => {
                follow.stopping = true;
                lane.busy = Some(Busy {
                    op: None,
                    operation: None,
                    stage: Stage::StopFollowing,
                    call: 0,
                    number: 0,
                    until: 0,
                });
            }
            Running::Following(_) => lane.running = Running::Nothing,
            Running::Nothing | Running::Capturing(_) => {}
        }
    }

    /// The follower has written what it was writing.
    pub(crate) fn follower_stopped(&mut self, host: HostId) {
        let Some(lane) = self.lane_of(host) else { return };
        lane.running = Running::Nothing;
        if matches!(&lane.busy, Some(Busy { stage: Stage::StopFollowing, .. })) {
            lane.busy = None;
        }
        self.pump_files(host);
    }

    fn operate(&mut self, host: HostId, op: OpId, operation: Operation) {
        let until = self.now + catch_up::WITHIN;
        let Some(lane) = self.lane_of(host) else { return };
        lane.busy = Some(Busy {
            op: Some(op),
            operation: Some(operation.clone()),
            stage: Stage::Move,
            call: 0,
            number: 0,
            until,
        });
        match operation {
            Operation::MoveFence { epoch } => self.begin_fence(host, epoch),
            Operation::Compare => self.files_ask(host, Stage::List, Ask::List),
            Operation::CatchUp => self.files_ask(host, Stage::CatchList, Ask::List),
            Operation::Place { .. } | Operation::Retire { .. } => {
                let time = self.disk_time(host);
                self.files_work(host, Stage::Move, time);
            }
            Operation::StartCapture { epoch } => self.begin_capture(host, epoch),
            Operation::Flush => self.begin_flush(host),
            Operation::AbandonCapture => {
                self.end_capture(host);
                self.files_done(host, Outcome::Ok);
            }
            Operation::AcquireVip { .. }
            | Operation::ReleaseVip
            | Operation::StartBackend
            | Operation::StopBackend
            | Operation::KillBackend { .. } => {}
        }
    }

    fn begin_fence(&mut self, host: HostId, epoch: Epoch) {
        match self.mutant {
            Some(Mutant::NoFence | Mutant::LateFence) => {
                // Whatever stands there is written under.
                let standing = self.nats.standing_fence(epoch);
                let first = standing.is_none();
                if let Some(lane) = self.lane_of(host) {
                    lane.fence = standing;
                }
                self.checks.believed_fence(epoch);
                if first {
                    self.real_fence(host, epoch);
                } else {
                    self.files_done(host, Outcome::Ok);
                }
            }
            Some(_) | None => self.real_fence(host, epoch),
        }
    }

    pub(crate) fn real_fence(&mut self, host: HostId, epoch: Epoch) {
        let node = self.hosts[host].node.clone();
        self.files_ask(host, Stage::Fence, Ask::MoveFence { epoch, node });
    }

    fn begin_flush(&mut self, host: HostId) {
        let Some(lane) = self.lane_of(host) else { return };
        if !lane.is_capturing() {
            let why = String::from("nothing is captured");
            self.files_done(host, Outcome::Permanent(why));
            return;
        }
        self.files_work(host, Stage::Flush, FLUSH_WITHIN);
        self.wake_capture(host);
        self.capture_flushed(host);
    }

    /// The capture has nothing left to ship, or has ended.
    pub(crate) fn capture_flushed(&mut self, host: HostId) {
        let Some(lane) = self.lane_of(host) else { return };
        if !matches!(&lane.busy, Some(Busy { stage: Stage::Flush, .. })) {
            return;
        }
        let Running::Capturing(capture) = &lane.running else { return };
        let epoch = lane.fence.map_or(Epoch::NONE, |fence| fence.epoch);
        let (fenced, durable) = (capture.ended, capture.durable);
        if fenced {
            self.files_done(host, Outcome::Fenced);
        } else if self.nothing_left(host) {
            self.end_capture(host);
            let at = Position::new(epoch, durable);
            self.check_flushed(host, at);
            self.files_done(host, Outcome::At(at));
        }
    }

    /// A timer of the lane.
    pub(crate) fn files_wake(&mut self, host: HostId, number: u64) {
        let Some(lane) = self.lane_of(host) else { return };
        let Some(busy) = lane.busy.as_mut().filter(|busy| busy.number == number) else { return };
        let stage = std::mem::replace(&mut busy.stage, Stage::Move);
        match stage {
            Stage::Move => self.move_files(host),
            Stage::Flush => {
                let why = String::from("the final flush did not end in time");
                self.files_done(host, Outcome::Transient(why));
            }
            Stage::CatchApply(files, objects) => self.caught(host, files, &objects),
            Stage::CatchPause => self.files_ask(host, Stage::CatchList, Ask::List),
            Stage::Fence
            | Stage::List
            | Stage::Head
            | Stage::CatchList
            | Stage::CatchGet(_)
            | Stage::BeginList
            | Stage::BeginHead(_)
            | Stage::StopFollowing => {}
        }
    }

    /// An answer of the bucket, for whoever waits for it.
    pub(crate) fn said(&mut self, host: HostId, call: u64, said: Said) {
        let Some(said) = self.believed(host, said) else { return };
        let Some(lane) = self.lane_of(host) else { return };
        let waits = lane.busy.as_mut().filter(|busy| busy.call == call && call > 0);
        let Some(busy) = waits else {
            self.said_to_running(host, call, said);
            return;
        };
        busy.call = 0;
        let stage = std::mem::replace(&mut busy.stage, Stage::Move);
        match stage {
            Stage::Fence => self.fence_said(host, said),
            Stage::List => self.compare(host, said),
            Stage::Head => self.compare_head(host, said),
            Stage::CatchList => self.catch_list(host, said),
            Stage::CatchGet(files) => self.catch_get(host, files, said),
            Stage::BeginList => self.begin_list(host, said),
            Stage::BeginHead(files) => self.begin_head(host, &files, said),
            Stage::CatchApply(..)
            | Stage::CatchPause
            | Stage::Move
            | Stage::Flush
            | Stage::StopFollowing => {}
        }
    }

    /// A listing older than what this node has written does not count, for a while.
    fn believed(&mut self, host: HostId, said: Said) -> Option<Said> {
        let now = self.now;
        let lane = self.lane_of(host)?;
        match &said {
            Said::Files { last, .. } => {
                let old = |(seen, at): (u64, Time)| *last < seen && now < at + CUT_OFF_MAX;
                Some(if lane.seen.is_some_and(old) { Said::Nothing } else { said })
            }
            Said::Moved(Fence { token: sequence, .. }) | Said::Stored(Some(sequence)) => {
                let lost = lane.seen.is_some_and(|(before, _)| *sequence <= before);
                lane.losses += u64::from(lost);
                lane.seen = Some((*sequence, now));
                Some(said)
            }
            Said::Standing(_)
            | Said::Got(_)
            | Said::Stored(None)
            | Said::Fenced
            | Said::Exists
            | Said::NotFound
            | Said::Nothing => Some(said),
        }
    }

    fn fence_said(&mut self, host: HostId, said: Said) {
        let outcome = match said {
            Said::Moved(fence) => {
                if let Some(lane) = self.lane_of(host) {
                    lane.fence = Some(fence);
                }
                self.checks.believed_fence(fence.epoch);
                Outcome::Ok
            }
            Said::Fenced => Outcome::Fenced,
            Said::Standing(_)
            | Said::Files { .. }
            | Said::Got(_)
            | Said::Stored(_)
            | Said::Exists
            | Said::NotFound
            | Said::Nothing => nothing(),
        };
        self.files_done(host, outcome);
    }

    fn compare(&mut self, host: HostId, said: Said) {
        let Said::Files { files, .. } = said else {
            self.files_done(host, nothing());
            return;
        };
        if self.disk_fails(host) {
            let why = String::from("the disk fails");
            self.files_done(host, Outcome::Transient(why));
            return;
        }
        let disk = &self.hosts[host].disk;
        if self.mutant == Some(Mutant::NoCompare) && !files.is_empty() {
            self.files_done(host, Outcome::Compared(Verdict::Swap));
            return;
        }
        match plan::compare(disk.summary(), &files) {
            Ok(plan::Verdict::Keep) => {
                let stamp = disk.stamp;
                let ends = disk.data.as_ref().and_then(crate::disk::Data::wal_end).is_some();
                let last = stamp.and_then(|stamp| plan::last_of(stamp, &files)).filter(|_| ends);
                match last.map(|last| last.name) {
                    Some(name) => self.files_ask(host, Stage::Head, Ask::Get(vec![name])),
                    None => self.files_done(host, Outcome::Compared(Verdict::Keep)),
                }
            }
            Ok(plan::Verdict::Swap) => {
                self.files_done(host, Outcome::Compared(Verdict::Swap));
            }
            Ok(plan::Verdict::Create) => {
                self.files_done(host, Outcome::Compared(Verdict::Create));
            }
            Err(refusal) => self.files_done(host, Outcome::Permanent(refusal.to_string())),
        }
    }

    fn compare_head(&mut self, host: HostId, said: Said) {
        let Said::Got(objects) = said else {
            self.files_done(host, nothing());
            return;
        };
        let end = self.hosts[host].disk.data.as_ref().and_then(crate::disk::Data::wal_end);
        let behind = match (end, objects.first()) {
            (Some(end), Some(object)) => plan::ends_before(end, &object.header),
            (None, _) | (_, None) => false,
        };
        let verdict = if behind { Verdict::Swap } else { Verdict::Keep };
        self.files_done(host, Outcome::Compared(verdict));
    }
}
