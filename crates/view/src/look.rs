//! Everything that was learned at one moment.

use ccm_control::{NodeStatus, Status};
use ccm_discovery::ServiceRecord;
use ccm_history::Event;
use ccm_types::{Epoch, Monotonic, NodeId, RoleName, Txid};
use jiff::Timestamp;

/// One look at a cluster.
#[derive(Debug, Clone)]
pub struct Look {
    /// When, by the clock that nobody sets.
    pub at: Monotonic,
    /// When, by the clock on the wall: times that others tell are compared with it.
    pub now: Timestamp,
    /// What the daemon has said.
    pub told: Told,
    /// The services; `Err` says why they are not known, in words.
    pub services: Result<Vec<ServiceRecord>, String>,
    /// The newest events, the oldest of them first; `Err` says why they are not known.
    pub events: Result<Vec<Event>, String>,
}

/// What the daemon has said of its node and of the cluster.
#[derive(Debug, Clone)]
pub enum Told {
    /// Everything.
    Whole(Box<Status>),
    /// It has not answered, or does not know the cluster yet.
    Part(Box<Part>),
}

/// What is known all the same.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Why there is no more, in words.
    pub problem: String,
    /// Whether there is a connection to NATS.
    pub connected: bool,
    /// The backend, as it was measured, and how long it has run in seconds.
    pub backend: Option<(String, u64)>,
    /// Who leads, as NATS has it; `None` when that could not be read.
    pub leader: Option<PartLeader>,
    /// What the nodes have said last; `None` when that could not be read.
    pub nodes: Option<Vec<NodeStatus>>,
}

/// Who leads, as NATS has it.
#[derive(Debug, Clone, Default)]
pub struct PartLeader {
    /// The node; `None` when nobody does.
    pub node: Option<NodeId>,
    /// The epoch of the last leadership.
    pub epoch: Option<Epoch>,
    /// When it began, RFC 3339.
    pub since: Option<String>,
}

/// What is known of the node that was asked. `None` is unknown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own {
    pub(crate) role: Option<RoleName>,
    pub(crate) backend: Option<String>,
    pub(crate) uptime_seconds: Option<u64>,
    pub(crate) txid: Option<Txid>,
    pub(crate) lag_ms: Option<u64>,
    pub(crate) unshipped: Option<u64>,
    /// The address, and whether it is here.
    pub(crate) vip: Option<(String, bool)>,
    /// Whether the daemon has told of the virtual IP at all.
    pub(crate) vip_told: bool,
    pub(crate) connected: bool,
    pub(crate) server: Option<String>,
    pub(crate) problem: Option<String>,
    /// Why it would not take a lease that is free.
    pub(crate) not_eligible: Option<String>,
    pub(crate) diverged: (u64, u64),
    pub(crate) leader: Option<NodeId>,
    /// Whether `leader` is what the lease says now, and not what it said last.
    pub(crate) leader_known: bool,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) since: Option<String>,
    pub(crate) lease_ms: Option<u64>,
    pub(crate) free_in_ms: Option<u64>,
    /// The daemon's own word is there.
    pub(crate) answered: bool,
}

impl Told {
    pub(crate) fn own(&self) -> Own {
        match self {
            Self::Whole(status) => whole(status),
            Self::Part(part) => self::part(part),
        }
    }

    /// What the nodes have said last; `None` when nobody could ask.
    pub(crate) fn nodes(&self) -> Option<&[NodeStatus]> {
        match self {
            // The node that answers is among those that say something: no node is no answer.
            Self::Whole(status) => {
                let there = status.nats.connected && !status.nodes.is_empty();
                there.then_some(status.nodes.as_slice())
            }
            Self::Part(part) => part.nodes.as_deref(),
        }
    }
}

fn whole(status: &Status) -> Own {
    let connected = status.nats.connected;
    // Before the first transaction there is neither a position nor a lag.
    let txid = Some(status.txid).filter(|txid| *txid != Txid::ZERO);
    let holds = status.lease_remaining_ms.is_some_and(|left| left > 0);
    let measurable = match status.role {
        RoleName::Primary => true,
        // Without an answer of NATS it is not known what the bucket has by now.
        RoleName::Passive => connected && !status.nodes.is_empty(),
    };
    Own {
        role: Some(status.role),
        backend: Some(status.backend_status.clone()).filter(|status| status != "unknown"),
        uptime_seconds: Some(status.backend_uptime_seconds),
        txid,
        lag_ms: txid.filter(|_| measurable).map(|_| status.replication_lag_ms),
        unshipped: txid
            .filter(|_| status.role == RoleName::Primary)
            .map(|_| status.unshipped_bytes),
        vip: status.vip.as_ref().map(|vip| (vip.address.clone(), vip.held)),
        vip_told: true,
        connected,
        server: connected.then(|| status.nats.server.clone()),
        problem: status.problem.clone(),
        not_eligible: status.not_eligible.clone(),
        diverged: (status.diverged.count, status.diverged.bytes),
        leader: status.leader.clone(),
        leader_known: connected || holds,
        epoch: status.epoch,
        since: status.leader_since.clone(),
        lease_ms: status.lease_remaining_ms,
        free_in_ms: status.lease_free_in_ms.filter(|_| connected),
        answered: true,
    }
}

fn part(part: &Part) -> Own {
    let leader = part.leader.clone();
    Own {
        backend: part.backend.as_ref().map(|(status, _)| status.clone()),
        uptime_seconds: part.backend.as_ref().map(|(_, uptime)| *uptime),
        connected: part.connected,
        problem: Some(part.problem.clone()),
        leader_known: leader.is_some(),
        epoch: leader.as_ref().and_then(|leader| leader.epoch),
        since: leader.as_ref().and_then(|leader| leader.since.clone()),
        leader: leader.and_then(|leader| leader.node),
        ..Own::default()
    }
}
