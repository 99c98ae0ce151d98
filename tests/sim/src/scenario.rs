//! What happens in a run, apart from chance: the cluster, the faults, the operators.
//!
//! A scenario is text: it can be kept as a regression and shrunk by leaving lines out.

mod generate;
mod text;

use crate::time::Time;

/// Which host; the first is 0.
pub type HostId = usize;

/// A run: everything else follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// What the scenario is about, for people.
    pub about: String,
    /// Of the chance in the run.
    pub seed: u64,
    /// Hosts with a node each.
    pub nodes: usize,
    /// One more host has the node id of the first.
    pub twin: bool,
    /// `synchronous=FULL` instead of `NORMAL`.
    pub full_sync: bool,
    /// When the faults end and everything has to come to rest.
    pub calm_at: Time,
    /// What happens when, in order.
    pub faults: Vec<(Time, Fault)>,
}

/// One thing that goes wrong, or that an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the daemon; it is started again after this time.
    Kill(HostId, Time),
    /// The host loses power for this time.
    PowerCut(HostId, Time),
    /// `kill -STOP` of the daemon for this time.
    Pause(HostId, Time),
    /// The host is suspended for this time; its clock counts it.
    Suspend(HostId, Time),
    /// The virtual machine is paused for this time; its clock does not count it.
    StopClock(HostId, Time),
    /// Nothing reaches NATS from the host for this time.
    Mute(HostId, Time),
    /// Nothing reaches the host from NATS for this time.
    Deaf(HostId, Time),
    /// Both, for this time.
    Cut(HostId, Time),
    /// One message in four is lost, for this time.
    Lossy(HostId, Time),
    /// Messages take up to five seconds, for this time.
    Slow(HostId, Time),
    /// Messages come twice, for this time.
    Doubling(HostId, Time),
    /// NATS has no leader for this time.
    NoLeader(Time),
    /// NATS loses what it has acknowledged in this time: of the lease, of the objects.
    Forget {
        /// How far it goes back.
        back: Time,
        /// The lease.
        lease: bool,
        /// The objects.
        objects: bool,
    },
    /// NATS comes back empty.
    Empty {
        /// Without the lease.
        lease: bool,
        /// Without the objects.
        objects: bool,
    },
    /// NATS answers reads of the lease with what was there so long ago, for this time.
    Stale {
        /// How old.
        behind: Time,
        /// How long.
        time: Time,
    },
    /// Work on files takes up to three seconds, for this time.
    SlowDisk(HostId, Time),
    /// Work on files fails, for this time.
    FailingDisk(HostId, Time),
    /// Nothing can be written to the disk for this time.
    FullDisk(HostId, Time),
    /// The backend dies.
    BackendDies(HostId),
    /// The backend does not answer any more.
    BackendHangs(HostId),
    /// `kill -9` of the guard: the kernel ends the backend with it.
    GuardDies(HostId),
    /// The backend does not end when asked, for this time.
    BackendStays(HostId, Time),
    /// The backend does not start, for this time.
    BackendBroken(HostId, Time),
    /// The virtual IP can neither be taken nor given up, for this time.
    VipFails(HostId, Time),
    /// The wall clock is set by so many seconds.
    SetClock(HostId, i64),
    /// `ccm demote`, to this host.
    Demote(HostId, Option<HostId>),
    /// `ccm promote`.
    Promote(HostId),
    /// `ccm leave`; the node joins again after this time.
    Leave(HostId, Time),
    /// SIGTERM to the daemon; started again after this time.
    Shutdown(HostId, Time),
    /// Two of them.
    Hurry(HostId, Time),
}

impl Fault {
    /// How long it lasts, or what it sets off takes.
    pub(crate) fn lasts(self) -> Time {
        match self {
            Self::Kill(_, time)
            | Self::PowerCut(_, time)
            | Self::Pause(_, time)
            | Self::Suspend(_, time)
            | Self::StopClock(_, time)
            | Self::Mute(_, time)
            | Self::Deaf(_, time)
            | Self::Cut(_, time)
            | Self::Lossy(_, time)
            | Self::Slow(_, time)
            | Self::Doubling(_, time)
            | Self::NoLeader(time)
            | Self::Stale { time, .. }
            | Self::SlowDisk(_, time)
            | Self::FailingDisk(_, time)
            | Self::FullDisk(_, time)
            | Self::BackendStays(_, time)
            | Self::BackendBroken(_, time)
            | Self::VipFails(_, time)
            | Self::Leave(_, time)
            | Self::Shutdown(_, time)
            | Self::Hurry(_, time) => time,
            Self::Forget { .. }
            | Self::Empty { .. }
            | Self::BackendDies(_)
            | Self::BackendHangs(_)
            | Self::GuardDies(_)
            | Self::SetClock(..)
            | Self::Demote(..)
            | Self::Promote(_) => 0,
        }
    }

    /// Whether NATS breaks its word with it, about the lease.
    pub(crate) fn loses_lease(self) -> bool {
        matches!(self, Self::Forget { lease: true, .. } | Self::Empty { lease: true, .. })
    }

    /// Whether NATS breaks its word with it, about the objects.
    pub(crate) fn loses_objects(self) -> bool {
        matches!(self, Self::Forget { objects: true, .. } | Self::Empty { objects: true, .. })
    }

    /// Whether a clock breaks its word with it: it does not count the time that passes.
    pub(crate) fn stops_clock(self) -> bool {
        matches!(self, Self::StopClock(..))
    }
}

impl Scenario {
    pub(crate) fn hosts(&self) -> usize {
        self.nodes + usize::from(self.twin)
    }

    /// What the world promises in this run.
    pub(crate) fn loses_lease(&self) -> bool {
        self.faults.iter().any(|(_, fault)| fault.loses_lease())
    }

    pub(crate) fn loses_objects(&self) -> bool {
        self.faults.iter().any(|(_, fault)| fault.loses_objects())
    }

    /// Whether an operator promotes a node.
    pub(crate) fn promotes(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Promote(_)))
    }

    /// Both at once, a clock that stands still being one way to outlive a lease: two primaries may
    /// hold the lease by right, and a bucket that has gone back may give the fence of the one the
    /// sequence of the other's.
    pub(crate) fn loses_everything(&self) -> bool {
        (self.loses_lease() || self.stops_clocks()) && self.loses_objects()
    }

    pub(crate) fn sets_clocks(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, Fault::SetClock(..)))
    }

    pub(crate) fn stops_clocks(&self) -> bool {
        self.faults.iter().any(|(_, fault)| fault.stops_clock())
    }
}

impl Fault {
    /// The hosts it names.
    pub(crate) fn named(self) -> [Option<HostId>; 2] {
        match self {
            Self::Kill(host, _)
            | Self::PowerCut(host, _)
            | Self::Pause(host, _)
            | Self::Suspend(host, _)
            | Self::StopClock(host, _)
            | Self::Mute(host, _)
            | Self::Deaf(host, _)
            | Self::Cut(host, _)
            | Self::Lossy(host, _)
            | Self::Slow(host, _)
            | Self::Doubling(host, _)
            | Self::SlowDisk(host, _)
            | Self::FailingDisk(host, _)
            | Self::FullDisk(host, _)
            | Self::BackendDies(host)
            | Self::BackendHangs(host)
            | Self::GuardDies(host)
            | Self::BackendStays(host, _)
            | Self::BackendBroken(host, _)
            | Self::VipFails(host, _)
            | Self::SetClock(host, _)
            | Self::Promote(host)
            | Self::Leave(host, _)
            | Self::Shutdown(host, _)
            | Self::Hurry(host, _) => [Some(host), None],
            Self::Demote(host, to) => [Some(host), to],
            Self::NoLeader(_) | Self::Forget { .. } | Self::Empty { .. } | Self::Stale { .. } => {
                [None, None]
            }
        }
    }

    fn fits(self, hosts: usize) -> bool {
        self.named().into_iter().flatten().all(|host| host < hosts)
    }
}
