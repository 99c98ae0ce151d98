//! Daemons that only answer: what a command prints does not depend on who serves.

use std::sync::{Arc, Mutex};

use ccm_control::{
    DivergedStatus, NatsStatus, NodeStatus, Request, Service, SnapshotRequest, SnapshotTaken,
    Status, VipStatus,
};
use ccm_types::{ClusterId, Epoch, NodeId, RoleName, Txid};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bucket;

/// Who leads, as all daemons see it.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    pub(crate) node: String,
    pub(crate) epoch: u64,
}

/// Daemons over one server.
pub(crate) struct Daemons {
    url: String,
    leader: Arc<Mutex<Leader>>,
    services: Vec<Service>,
    answering: JoinSet<()>,
}

impl Daemons {
    /// `node-1` leads under epoch 1.
    pub(crate) async fn start(url: &str, nodes: &[&str]) -> Self {
        let leader = Leader { node: String::from("node-1"), epoch: 1 };
        bucket::lead(url, "node-1", 1, false).await;
        let mut daemons = Self {
            url: String::from(url),
            leader: Arc::new(Mutex::new(leader)),
            services: Vec::new(),
            answering: JoinSet::new(),
        };
        for node in nodes {
            daemons.add(node).await;
        }
        daemons
    }

    async fn add(&mut self, node: &str) {
        let client = async_nats::connect(&self.url).await.unwrap();
        let cluster = ClusterId::new("test").unwrap();
        let id = NodeId::new(node).unwrap();
        let (requests, mut queue) = mpsc::channel(4);
        self.services.push(Service::start(client, &cluster, &id, requests).await.unwrap());
        let daemon = Daemon { url: self.url.clone(), id, leader: Arc::clone(&self.leader) };
        self.answering.spawn(async move {
            while let Some(request) = queue.recv().await {
                daemon.answer(request).await;
            }
        });
    }

    pub(crate) fn leader(&self) -> Leader {
        self.leader.lock().unwrap().clone()
    }
}

struct Daemon {
    url: String,
    id: NodeId,
    leader: Arc<Mutex<Leader>>,
}

impl Daemon {
    async fn answer(&self, request: Request) {
        match request {
            Request::Ping(reply) => drop(reply.send(ccm_control::Pong {
                node_id: self.id.clone(),
                instance: String::from("i"),
                version: String::from("0"),
            })),
            Request::Status(reply) => drop(reply.send(self.status())),
            Request::Demote(request, reply) => {
                let to = request.successor.map_or_else(|| String::from("node-2"), String::from);
                drop(reply.send(self.hand_to(&to).await));
            }
            Request::Promote(reply) => drop(reply.send(self.hand_to(self.id.as_str()).await)),
            Request::Leave(reply) => drop(reply.send(Err(String::from("not today")))),
            Request::Snapshot(request, reply) => drop(reply.send(self.snapshot(&request))),
        }
    }

    /// The lease is released, then taken.
    async fn hand_to(&self, to: &str) -> Result<(), String> {
        let old = self.leader.lock().unwrap().clone();
        bucket::lead(&self.url, &old.node, old.epoch, true).await;
        let new = Leader { node: String::from(to), epoch: old.epoch + 1 };
        bucket::lead(&self.url, &new.node, new.epoch, false).await;
        *self.leader.lock().unwrap() = new;
        Ok(())
    }

    /// A snapshot takes a second.
    fn snapshot(&self, request: &SnapshotRequest) -> Result<SnapshotTaken, String> {
        let leads = self.leader.lock().is_ok_and(|leader| leader.node == self.id.as_str());
        if !leads {
            return Err(format!("{} is PASSIVE", self.id));
        }
        if request.within_ms < 1000 {
            return Err(String::from("it goes on"));
        }
        Ok(SnapshotTaken {
            name: String::from("ltx/9/0000000000000001-0000000000000412.ltx"),
            txid: Txid::new(1042),
            size: 5 << 20,
            epoch: Some(Epoch::new(1)),
            committed_at_ms: 1_700_000_000_000,
            took_ms: 1234,
        })
    }

    fn status(&self) -> Status {
        let leader = self.leader.lock().unwrap().clone();
        let leads = leader.node == self.id.as_str();
        let role = if leads { RoleName::Primary } else { RoleName::Passive };
        Status {
            cluster_id: ClusterId::new("test").unwrap(),
            node_id: self.id.clone(),
            role,
            leader: Some(NodeId::new(leader.node).unwrap()),
            epoch: Some(Epoch::new(leader.epoch)),
            lease_remaining_ms: leads.then_some(8000),
            leader_since: Some(String::from("2026-01-02T03:00:00Z")),
            lease_free_in_ms: None,
            backend_status: String::from(if leads { "running" } else { "stopped" }),
            backend_uptime_seconds: 3,
            txid: Txid::new(1042),
            replication_lag_ms: 0,
            unshipped_bytes: 0,
            vip: Some(VipStatus { address: String::from("10.0.1.100/24"), held: leads }),
            nats: NatsStatus { connected: true, server: String::from("127.0.0.1:4222") },
            not_eligible: None,
            diverged: DivergedStatus::default(),
            problem: (!leads).then(|| String::from("the disk is full")),
            nodes: vec![NodeStatus {
                node_id: self.id.clone(),
                role,
                backend_status: String::from("running"),
                txid: Txid::new(1042),
                replication_lag_ms: 0,
                last_seen: String::from("2026-01-01T00:00:00Z"),
                diverged_files: 0,
                diverged_bytes: 0,
                problem: None,
            }],
        }
    }
}
