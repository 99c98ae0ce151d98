//! What is true at this moment: measured when asked, never remembered.

mod sight;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use ccm_control::{NatsStatus, NodeStatus, Pong, Status, VipStatus};
use ccm_election::LeaseStatus;
use ccm_kv_state::{NodeRecord, Nodes};
use ccm_role::Phase;
use ccm_types::{BootClock, Epoch, NodeId, Txid};
use tokio::sync::watch;

use crate::Settings;
use crate::backend::{BackendPort, Measured};
use crate::files::View;
use crate::http::Problems;
use crate::vip::VipPort;

/// How long the records of the other nodes may take to be read.
const NODES_WITHIN: Duration = Duration::from_secs(1);

/// Everything that can be looked at.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) settings: Settings,
    pub(crate) instance: String,
    pub(crate) address: String,
    pub(crate) client: Client,
    pub(crate) status: watch::Receiver<ccm_role::Status>,
    pub(crate) lease: watch::Receiver<LeaseStatus>,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) port: Arc<BackendPort>,
    pub(crate) vip: Option<Arc<VipPort>>,
    pub(crate) nodes: Nodes,
    pub(crate) http: watch::Receiver<Problems>,
}

/// How far replication is.
#[derive(Debug, Clone, Default)]
struct Replication {
    epoch: Option<Epoch>,
    txid: Txid,
    lag: Duration,
    unshipped: u64,
    problem: Option<String>,
}

impl Observer {
    pub(crate) fn pong(&self) -> Pong {
        Pong {
            node_id: self.settings.node.clone(),
            instance: self.instance.clone(),
            version: String::from(env!("CARGO_PKG_VERSION")),
        }
    }

    pub(crate) fn node(&self) -> &NodeId {
        &self.settings.node
    }

    /// Whether an operator has taken this node out of the cluster.
    pub(crate) fn has_left(&self) -> bool {
        self.status.borrow().phase == Phase::Left
    }

    /// The stable status of design and docs.
    pub(crate) async fn status(&self) -> Status {
        let (role, measured) = self.role().await;
        let (vip, vip_problem) = self.vip(&role).await;
        let replication = self.replication();
        let lease = self.lease.borrow().clone();
        let now = BootClock.now();
        let remaining = lease.valid_until.map(|at| millis(at.since(now)));
        let nodes = tokio::time::timeout(NODES_WITHIN, self.nodes.list()).await;
        let records = nodes.ok().and_then(Result::ok).unwrap_or_default();
        Status {
            cluster_id: self.settings.cluster.clone(),
            node_id: self.settings.node.clone(),
            role: role.role,
            leader: role.leader.as_ref().map(|leader| leader.node.clone()),
            epoch: role.epoch.or(role.leader.as_ref().map(|leader| leader.epoch)),
            lease_remaining_ms: remaining.filter(|_| role.epoch.is_some()),
            backend_status: String::from(measured.status),
            backend_uptime_seconds: measured.uptime.as_secs(),
            txid: replication.txid,
            replication_lag_ms: millis(replication.lag),
            unshipped_bytes: replication.unshipped,
            vip,
            nats: self.nats(),
            problem: self.problem(&role, vip_problem, &replication),
            nodes: records.into_iter().map(node_status).collect(),
        }
    }

    /// This node's record for the state bucket.
    pub(crate) async fn record(&self) -> NodeRecord {
        let (role, measured) = self.role().await;
        let (_, vip_problem) = self.vip(&role).await;
        let replication = self.replication();
        NodeRecord {
            node_id: self.settings.node.clone(),
            cluster_id: self.settings.cluster.clone(),
            role: role.role,
            backend_status: String::from(measured.status),
            last_seen: jiff::Timestamp::now().to_string(),
            version: String::from(env!("CARGO_PKG_VERSION")),
            epoch: role.epoch.or(replication.epoch).unwrap_or(Epoch::NONE),
            txid: replication.txid,
            lag_ms: millis(replication.lag),
            address: self.address.clone(),
            priority: self.settings.priority,
            candidate: self.settings.candidate,
            problem: self.problem(&role, vip_problem, &replication),
            instance: self.instance.clone(),
        }
    }

    async fn role(&self) -> (ccm_role::Status, Measured) {
        let measured = self.port.measure().await;
        (self.status.borrow().clone(), measured)
    }

    /// Whether the virtual IP is here, and what is wrong with that.
    async fn vip(&self, role: &ccm_role::Status) -> (Option<VipStatus>, Option<String>) {
        let Some(vip) = &self.vip else { return (None, None) };
        let (held, problem) = vip.measure(role.phase).await;
        let outdated = self.port.guard().and_then(|guard| guard.outdated());
        (Some(VipStatus { address: vip.address(), held }), problem.or(outdated))
    }

    fn nats(&self) -> NatsStatus {
        let info = self.client.server_info();
        NatsStatus {
            connected: self.client.connection_state() == State::Connected,
            server: format!("{}:{}", info.host, info.port),
        }
    }

    fn problem(
        &self,
        role: &ccm_role::Status,
        vip: Option<String>,
        replication: &Replication,
    ) -> Option<String> {
        let away = self.client.connection_state() != State::Connected;
        let away = away.then(|| String::from("NATS is not reachable"));
        let waiting =
            (role.phase == Phase::Starting).then(|| String::from("the daemon is starting"));
        let http = || self.http.borrow().values().next().cloned();
        let of_data = role.problem.clone().or(vip).or(replication.problem.clone());
        away.or(of_data).or_else(http).or(waiting)
    }

    fn replication(&self) -> Replication {
        match &*self.view.borrow() {
            View::Idle => Replication::default(),
            View::Following(progress) => {
                let progress = progress.borrow();
                Replication {
                    epoch: progress.position.map(|p| p.epoch),
                    txid: progress.position.map_or(Txid::ZERO, |p| p.txid),
                    lag: progress.lag,
                    unshipped: 0,
                    problem: progress.problem.clone(),
                }
            }
            View::Capturing(progress) => {
                let progress = progress.borrow();
                let now = BootClock.now();
                Replication {
                    epoch: None,
                    txid: progress.txid,
                    lag: progress.oldest_unshipped.map_or(Duration::ZERO, |at| now.since(at)),
                    unshipped: progress.unshipped_bytes,
                    problem: None,
                }
            }
        }
    }
}

fn node_status(record: NodeRecord) -> NodeStatus {
    NodeStatus {
        node_id: record.node_id,
        role: record.role,
        backend_status: record.backend_status,
        txid: record.txid,
        replication_lag_ms: record.lag_ms,
        last_seen: record.last_seen,
        problem: record.problem,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_never_overflow() {
        assert_eq!(millis(Duration::MAX), u64::MAX);
        assert_eq!(millis(Duration::from_secs(2)), 2000);
    }
}
