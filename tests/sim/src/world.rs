//! The world: hosts, a network, a server, and one queue of what happens when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ccm_election::{Input, Revision};
use ccm_guard::core::{Input as GuardInput, Reply};
use ccm_role::{Event, OpId};
use ccm_types::NodeId;

use crate::content::Versions;
use crate::host::Host;
use crate::invariants::Checks;
use crate::mutant::Mutant;
use crate::nats::{Ask, Nats, Said};
use crate::random::Random;
use crate::scenario::{HostId, Scenario};
use crate::time::{MS, Time};
use crate::trace::Trace;

/// Which start of a daemon; what belongs to an earlier one is nobody's.
pub(crate) type Run = u64;

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The fault with this number.
    Fault(usize),
    /// Nothing goes wrong from here on.
    Calm,
    /// The power is back.
    PowerOn { host: HostId, life: u64 },
    /// A host goes on after it stood still.
    Thaw { host: HostId, life: u64 },
    /// A daemon goes on.
    Unpause { host: HostId, run: Run },
    /// The service starts the daemon.
    StartDaemon { host: HostId, life: u64 },
    /// A daemon tries to reach NATS.
    Join { host: HostId, run: Run },

    /// The lease at the server.
    ReadLease { host: HostId, run: Run, id: ccm_election::RequestId },
    /// As [`What::ReadLease`].
    WriteLease {
        host: HostId,
        run: Run,
        id: ccm_election::RequestId,
        expected: Revision,
        record: Box<ccm_election::LeaseRecord>,
    },
    /// The bucket at the server.
    Ask { host: HostId, run: Run, call: u64, ask: Box<Ask> },
    /// A request to hand over, at the server.
    Handover { host: HostId, run: Run, leader: NodeId },

    /// An answer about the lease.
    Lease { host: HostId, run: Run, input: Input },
    /// The lease may have something to do.
    LeaseTick { host: HostId, run: Run, number: u64 },
    /// The machine hears of something.
    Tell { host: HostId, run: Run, event: Event },
    /// The machine may have something to do.
    RoleTick { host: HostId, run: Run, number: u64 },
    /// An answer of the bucket.
    Said { host: HostId, run: Run, call: u64, said: Box<Said> },
    /// Work on files is done, or a deadline has passed.
    Files { host: HostId, run: Run, number: u64 },
    /// The follower looks again, or has done its work.
    Follow { host: HostId, run: Run, number: u64 },
    /// The capture looks at the WAL, or tries again.
    Capture { host: HostId, run: Run, number: u64 },
    /// The virtual IP has been changed.
    Vip { host: HostId, run: Run, op: OpId },
    /// A daemon puts the address back.
    AddressBack { host: HostId, run: Run },
    /// A backend that starts may be healthy.
    Starting { host: HostId, run: Run, op: OpId },
    /// The health probe of a backend that hangs.
    Probe { host: HostId, run: Run, life: u64 },
    /// The guard answers.
    FromGuard { host: HostId, run: Run, id: u64, reply: Box<Reply> },

    /// The guard hears of something.
    Guard { host: HostId, life: u64, input: Box<GuardInput> },
    /// A daemon has a guard again.
    GuardBack { host: HostId, run: Run },
    /// The guard may have something to do.
    GuardTick { host: HostId, life: u64, number: u64 },
    /// The kernel has taken the virtual IP away for the guard.
    VipDropped { host: HostId, life: u64 },

    /// The backend commits.
    Commit { host: HostId, life: u64 },
    /// The backend is gone.
    Gone { host: HostId, life: u64 },
}

/// Who has to run for it to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// Nobody: the server, the network, the world.
    World,
    /// A host, whose power has not been cut since.
    Host(HostId, u64),
    /// Its guard of this life.
    Guard(HostId, u64),
    /// Its backend of this life.
    Backend(HostId, u64),
    /// Its daemon of this run.
    Daemon(HostId, Run),
}

impl What {
    /// A timer that does not count while the host is suspended.
    pub(crate) fn is_timer_of_the_runtime(&self) -> bool {
        matches!(self, Self::RoleTick { .. } | Self::LeaseTick { .. })
    }

    pub(crate) fn process(&self) -> Process {
        match *self {
            Self::Fault(_)
            | Self::Calm
            | Self::PowerOn { .. }
            | Self::Thaw { .. }
            | Self::Unpause { .. }
            | Self::ReadLease { .. }
            | Self::WriteLease { .. }
            | Self::Ask { .. }
            | Self::Handover { .. } => Process::World,
            Self::StartDaemon { host, life } => Process::Host(host, life),
            Self::Guard { host, life, .. }
            | Self::GuardTick { host, life, .. }
            | Self::VipDropped { host, life } => Process::Guard(host, life),
            Self::Commit { host, life } | Self::Gone { host, life } => Process::Backend(host, life),
            Self::Join { host, run }
            | Self::GuardBack { host, run }
            | Self::AddressBack { host, run }
            | Self::Lease { host, run, .. }
            | Self::LeaseTick { host, run, .. }
            | Self::Tell { host, run, .. }
            | Self::RoleTick { host, run, .. }
            | Self::Said { host, run, .. }
            | Self::Files { host, run, .. }
            | Self::Follow { host, run, .. }
            | Self::Capture { host, run, .. }
            | Self::Vip { host, run, .. }
            | Self::Starting { host, run, .. }
            | Self::Probe { host, run, .. }
            | Self::FromGuard { host, run, .. } => Process::Daemon(host, run),
        }
    }
}

#[derive(Debug)]
struct Entry {
    at: Time,
    number: u64,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    queue: BinaryHeap<Reverse<Entry>>,
    queued: u64,
    pub(crate) random: Random,
    pub(crate) scenario: Scenario,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) nats: Nats,
    pub(crate) hosts: Vec<Host>,
    pub(crate) versions: Versions,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    /// Numbers for calls, ticks and instances.
    numbers: u64,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, mutant: Option<Mutant>, trace: Trace) -> Self {
        let mut random = Random::new(scenario.seed);
        let hosts: Vec<Host> =
            (0..scenario.hosts()).map(|id| Host::new(id, scenario, &mut random)).collect();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            queued: 0,
            random,
            scenario: scenario.clone(),
            mutant,
            nats: Nats::default(),
            checks: Checks::new(hosts.len()),
            hosts,
            versions: Versions::new(),
            trace,
            numbers: 0,
        };
        for (number, (at, _)) in scenario.faults.iter().enumerate() {
            world.at(*at, What::Fault(number));
        }
        world.at(scenario.calm_at, What::Calm);
        for host in 0..world.hosts.len() {
            let start = world.random.below(300 * MS);
            world.at(start, What::StartDaemon { host, life: 0 });
        }
        world
    }

    /// Lets one thing happen; `false` when nothing is left or the time is over.
    pub(crate) fn turn(&mut self, end: Time) -> bool {
        let Some(Reverse(Entry { at, what, .. })) = self.queue.pop() else { return false };
        if at > end {
            return false;
        }
        self.now = at;
        self.checks.events += 1;
        if !self.concerns(&what) {
            return true;
        }
        if self.may_happen(&what) {
            self.happen(what);
        } else {
            self.put_off(what);
        }
        true
    }

    /// Adds to the queue.
    pub(crate) fn at(&mut self, at: Time, what: What) {
        self.queued += 1;
        let entry = Entry { at: at.max(self.now), number: self.queued, what };
        self.queue.push(Reverse(entry));
    }

    /// Adds to the queue, this much later.
    pub(crate) fn after(&mut self, delay: Time, what: What) {
        self.at(self.now + delay, what);
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Fault(number) => self.fault(number),
            What::Calm => self.calm(),
            What::PowerOn { host, life } => self.power_on(host, life),
            What::Thaw { host, life } => self.thaw(host, life),
            What::Unpause { host, run } => self.unpause(host, run),
            What::StartDaemon { host, .. } => self.start_daemon(host),
            What::Join { host, .. } => self.join(host),
            What::ReadLease { host, run, id } => self.read_lease(host, run, id),
            What::WriteLease { host, run, id, expected, record } => {
                self.write_lease(host, run, id, expected, *record);
            }
            What::Ask { host, run, call, ask } => self.serve(host, run, call, *ask),
            What::Handover { host, run, leader } => self.hand_over(host, run, &leader),
            What::Lease { host, input, .. } => self.lease(host, input),
            What::LeaseTick { host, number, .. } => self.lease_tick(host, number),
            What::Tell { host, event, .. } => self.role(host, event),
            What::RoleTick { host, number, .. } => self.role_tick(host, number),
            What::Said { host, call, said, .. } => self.said(host, call, *said),
            What::Files { host, number, .. } => self.files_wake(host, number),
            What::Follow { host, number, .. } => self.follow_wake(host, number),
            What::Capture { host, number, .. } => self.capture_wake(host, number),
            What::Vip { host, op, .. } => self.vip_changed(host, op),
            What::Starting { host, op, .. } => self.starting(host, op),
            What::Probe { host, life, .. } => self.probe(host, life),
            What::FromGuard { host, id, reply, .. } => self.guard_answers(host, id, &reply),
            What::Guard { host, input, .. } => self.guard(host, *input),
            What::AddressBack { host, .. } => self.address_back(host),
            What::GuardBack { host, .. } => self.guard_back(host),
            What::GuardTick { host, number, .. } => self.guard_tick(host, number),
            What::VipDropped { host, .. } => self.vip_dropped(host),
            What::Commit { host, .. } => self.commit(host),
            What::Gone { host, .. } => self.gone(host),
        }
    }
}
