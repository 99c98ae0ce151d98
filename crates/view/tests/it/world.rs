//! A cluster of two nodes that says what it is told to say.

use ccm_control::{DivergedStatus, NatsStatus, NodeStatus, Status, VipStatus};
use ccm_discovery::ServiceRecord;
use ccm_history::Event;
use ccm_types::{ClusterId, Epoch, Monotonic, NodeId, RoleName, Txid};
use ccm_view::{Board, Look, Subject, Told};
use jiff::Timestamp;

/// The first moment, on the wall.
pub(crate) const START: &str = "2026-03-04T05:06:07Z";

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A moment after the first, by both clocks.
pub(crate) fn later(ms: u64) -> (Monotonic, Timestamp) {
    let start: Timestamp = START.parse().unwrap();
    let passed = std::time::Duration::from_millis(ms);
    (Monotonic::from_millis(1_000_000 + ms), start + passed)
}

pub(crate) struct World {
    pub(crate) board: Board,
    pub(crate) services: Result<Vec<ServiceRecord>, String>,
    pub(crate) events: Result<Vec<Event>, String>,
}

impl World {
    pub(crate) fn new(asked: &str) -> Self {
        let cluster = ClusterId::new("convex-prod").unwrap();
        let subject = Subject { cluster, node: node(asked), ttl_ms: 10_000 };
        Self { board: Board::new(subject), services: Ok(Vec::new()), events: Ok(Vec::new()) }
    }

    pub(crate) fn look(&mut self, ms: u64, told: Told) {
        let (at, now) = later(ms);
        let (services, events) = (self.services.clone(), self.events.clone());
        self.board.note(Look { at, now, told, services, events });
    }
}

fn said(name: &str, role: RoleName, ms: u64) -> NodeStatus {
    let (_, now) = later(ms);
    let leads = role == RoleName::Primary;
    NodeStatus {
        node_id: node(name),
        role,
        backend_status: String::from(if leads { "running" } else { "stopped" }),
        txid: Txid::new(1042),
        replication_lag_ms: if leads { 0 } else { 12 },
        last_seen: now.to_string(),
        diverged_files: 0,
        diverged_bytes: 0,
        problem: None,
    }
}

/// What `asked` says: node-1 leads, node-2 follows, and both have just said so.
pub(crate) fn status(asked: &str, ms: u64) -> Status {
    let leads = asked == "node-1";
    Status {
        cluster_id: ClusterId::new("convex-prod").unwrap(),
        node_id: node(asked),
        role: if leads { RoleName::Primary } else { RoleName::Passive },
        leader: Some(node("node-1")),
        epoch: Some(Epoch::new(7)),
        lease_remaining_ms: leads.then_some(8_200),
        leader_since: Some(String::from("2026-03-04T05:00:07Z")),
        lease_free_in_ms: (!leads).then_some(9_100),
        backend_status: String::from(if leads { "running" } else { "stopped" }),
        backend_uptime_seconds: if leads { 359 } else { 0 },
        txid: Txid::new(1042),
        replication_lag_ms: if leads { 0 } else { 12 },
        unshipped_bytes: 0,
        vip: Some(VipStatus { address: String::from("10.0.1.100/24"), held: leads }),
        nats: NatsStatus { connected: true, server: String::from("10.0.1.10:4222") },
        diverged: DivergedStatus::default(),
        not_eligible: None,
        problem: None,
        nodes: vec![said("node-1", RoleName::Primary, ms), said("node-2", RoleName::Passive, ms)],
    }
}

pub(crate) fn services() -> Vec<ServiceRecord> {
    let record = |node: &str, address: &str, health: &str| {
        let value = serde_json::json!({
            "app": "convex-prod", "name": "http", "node": node, "address": address, "port": 3210,
            "protocol": "http", "health": health, "tags": ["api", "public"],
            "registeredAt": START, "updatedAt": START,
        });
        serde_json::from_value(value).unwrap()
    };
    vec![record("node-1", "10.0.1.10", "passing"), record("node-2", "10.0.1.11", "standby")]
}
