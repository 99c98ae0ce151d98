//! What is true at this moment: measured when asked, never remembered.

mod sight;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use ccm_control::{
    DivergedFile, DivergedStatus, NatsStatus, NodeStatus, Pong, SnapshotRequest, SnapshotTaken,
    Status, VipStatus,
};
use ccm_election::LeaseStatus;
use ccm_history::{Divergence, History, What};
use ccm_kv_state::{NodeRecord, Nodes};
use ccm_role::Phase;
use ccm_types::{BootClock, Epoch, NodeId, RoleName, Txid};
use ccm_wal_ltx::capture::CaptureProgress;
use ccm_wal_ltx::compact::CompactProgress;
use ccm_wal_ltx::local;
use tokio::sync::watch;

use crate::backend::{BackendPort, Measured, Restarts};
use crate::files::{Capturing, View};
use crate::http::Problems;
use crate::outcome;
use crate::vip::VipPort;
use crate::{Settings, Tunables};

/// How long the records of the other nodes may take to be read.
const NODES_WITHIN: Duration = Duration::from_secs(1);

/// Files that were set aside and are named in a status.
const DIVERGED_SHOWN: usize = 16;

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
    /// It was logged that no further file is set aside.
    pub(crate) told_full: AtomicBool,
    pub(crate) http: watch::Receiver<Problems>,
    pub(crate) history: History,
    /// Data files that were set aside and are known.
    pub(crate) aside: Mutex<BTreeSet<PathBuf>>,
    /// Why this node would not take a lease that is free.
    pub(crate) not_eligible: watch::Receiver<Option<String>>,
    pub(crate) tunables: watch::Receiver<Tunables>,
    pub(crate) restarts: Arc<Restarts>,
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
        let diverged = self.diverged().await;
        let lease = self.lease.borrow().clone();
        let now = BootClock.now();
        let remaining = lease.valid_until.map(|at| millis(at.since(now)));
        let free_in = lease.free_at.map(|at| millis(at.since(now)));
        let leads = role.leader.as_ref().is_some_and(|leader| {
            lease.leader.as_ref().is_some_and(|held| held.epoch == leader.epoch && !held.released)
        });
        let nodes = tokio::time::timeout(NODES_WITHIN, self.nodes.list()).await;
        let records = nodes.ok().and_then(Result::ok).unwrap_or_default();
        Status {
            cluster_id: self.settings.cluster.clone(),
            node_id: self.settings.node.clone(),
            role: role.role,
            leader: role.leader.as_ref().map(|leader| leader.node.clone()),
            epoch: role.epoch.or(role.leader.as_ref().map(|leader| leader.epoch)),
            lease_remaining_ms: remaining.filter(|_| role.epoch.is_some()),
            leader_since: lease.leader_since.filter(|_| leads),
            lease_free_in_ms: free_in.filter(|_| role.epoch.is_none()),
            backend_status: String::from(measured.status),
            backend_uptime_seconds: measured.uptime.as_secs(),
            txid: replication.txid,
            replication_lag_ms: millis(replication.lag),
            unshipped_bytes: replication.unshipped,
            vip,
            nats: self.nats(),
            not_eligible: self.not_eligible.borrow().clone(),
            problem: self.problem(&role, vip_problem, &replication, full(&diverged)),
            diverged,
            nodes: records.into_iter().map(node_status).collect(),
        }
    }

    /// Takes a snapshot now, when this node leads; `Err` in words.
    pub(crate) async fn snapshot(
        &self,
        request: &SnapshotRequest,
    ) -> Result<SnapshotTaken, String> {
        let node = &self.settings.node;
        let requests = match &*self.view.borrow() {
            View::Capturing(capturing) => Some(capturing.snapshots.clone()),
            View::Idle | View::Following(_) => None,
        };
        let Some(requests) = requests else {
            return Err(match self.status.borrow().role {
                RoleName::Passive => {
                    format!("{node} is PASSIVE: snapshots are taken by the PRIMARY")
                }
                RoleName::Primary => format!(
                    "{node} is PRIMARY and its capture does not run yet, or not any more: see \
                     `ccm status`, and try again"
                ),
            });
        };
        let started = Instant::now();
        let within = Duration::from_millis(request.within_ms);
        let taken = tokio::time::timeout(within, requests.take()).await;
        let info = taken
            .map_err(|_elapsed| still_going(within))?
            .map_err(|error| outcome::words(&error))?;
        Ok(SnapshotTaken {
            name: info.name.to_string(),
            txid: info.name.max,
            size: info.size,
            epoch: info.epoch,
            committed_at_ms: info.timestamp_ms,
            took_ms: millis(started.elapsed()),
        })
    }

    /// This node's record for the state bucket.
    pub(crate) async fn record(&self) -> NodeRecord {
        let (role, measured) = self.role().await;
        let (_, vip_problem) = self.vip(&role).await;
        let replication = self.replication();
        let diverged = self.diverged().await;
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
            diverged_files: diverged.count,
            diverged_bytes: diverged.bytes,
            problem: self.problem(&role, vip_problem, &replication, full(&diverged)),
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

    /// The data files that were set aside, as they are on the disk.
    async fn diverged(&self) -> DivergedStatus {
        let data = self.settings.files.data.clone();
        let looked = tokio::task::spawn_blocking(move || local::diverged(&data)).await;
        let found = match looked {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                let error = outcome::words(&error);
                tracing::debug!(%error, "could not look for data files that were set aside");
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        self.note_aside(&found);
        let max_bytes = self.tunables.borrow().diverged_max;
        let diverged = DivergedStatus {
            count: found.len() as u64,
            bytes: found.iter().map(|file| file.bytes).sum(),
            max_bytes,
            files: found.iter().take(DIVERGED_SHOWN).map(diverged_file).collect(),
        };
        let problem = full(&diverged);
        if self.told_full.swap(problem.is_some(), Ordering::Relaxed) != problem.is_some()
            && let Some(problem) = problem
        {
            tracing::warn!(%problem, "no further data file is set aside");
        }
        diverged
    }

    /// Tells the history of files that were not there before.
    fn note_aside(&self, found: &[local::Diverged]) {
        let now: BTreeSet<PathBuf> = found.iter().map(|file| file.path.clone()).collect();
        let known = {
            let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *aside, now)
        };
        let status = self.status.borrow();
        let epoch = status.epoch.or(status.leader.as_ref().map(|leader| leader.epoch));
        for file in found.iter().filter(|file| !known.contains(&file.path)) {
            let DivergedFile { name, epoch: served, txid, bytes } = diverged_file(file);
            let what = What::Diverged(Divergence { file: name, served, txid, bytes });
            self.history.record(jiff::Timestamp::now(), epoch, &what);
        }
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
        full: Option<String>,
    ) -> Option<String> {
        let away = self.client.connection_state() != State::Connected;
        let away = away.then(|| String::from("NATS is not reachable"));
        let waiting =
            (role.phase == Phase::Starting).then(|| String::from("the daemon is starting"));
        let http = || self.http.borrow().values().next().cloned();
        let of_data = role.problem.clone().or(vip).or(replication.problem.clone());
        let outdated = || self.tunables.borrow().problem();
        let restarted = || self.restarts.problem(BootClock.now());
        let small = || full.or(waiting).or_else(outdated).or_else(restarted);
        away.or(of_data).or_else(http).or_else(small)
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
            View::Capturing(Capturing { progress, compaction, .. }) => {
                let progress = progress.borrow();
                let now = BootClock.now();
                Replication {
                    epoch: None,
                    txid: progress.txid,
                    lag: progress.oldest_unshipped.map_or(Duration::ZERO, |at| now.since(at)),
                    unshipped: progress.unshipped_bytes,
                    problem: bucket_problem(&compaction.borrow()).or_else(|| held_back(&progress)),
                }
            }
        }
    }
}

fn held_back(progress: &CaptureProgress) -> Option<String> {
    progress.holds_back.then(|| {
        format!(
            "commits come faster than the bucket takes them and are held back; {} bytes of the WAL \
             wait",
            progress.unshipped_bytes
        )
    })
}

fn diverged_file(file: &local::Diverged) -> DivergedFile {
    let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
    DivergedFile {
        name: name.unwrap_or_default(),
        epoch: file.epoch,
        txid: file.txid,
        bytes: file.bytes,
    }
}

/// What is wrong when set-aside files take more than they may.
fn full(diverged: &DivergedStatus) -> Option<String> {
    let DivergedStatus { count, bytes, max_bytes, .. } = diverged;
    (bytes > max_bytes).then(|| {
        format!(
            "{count} data files that were set aside have {bytes} bytes, more than \
             wal.divergedMaxBytes ({max_bytes}): look at them (`ccm diverged list`), then move \
             them away or drop them; none is deleted, and no further one is set aside"
        )
    })
}

/// What is said to whoever has waited long enough for a snapshot.
fn still_going(within: Duration) -> String {
    format!(
        "the snapshot is not in the bucket after {} s: it goes on, see `ccm ltx list --level 9`",
        within.as_secs_f32()
    )
}

/// What an operator should know of the bucket: only what does not go away by itself.
fn bucket_problem(compaction: &CompactProgress) -> Option<String> {
    if let Some(name) = compaction.damaged {
        return Some(format!(
            "{name} in the bucket is damaged: a snapshot replaces it, then it is removed; see \
             `ccm ltx verify`"
        ));
    }
    let lasting = !compaction.passing && !compaction.fenced;
    let problem = compaction.problem.as_ref().filter(|_| lasting)?;
    Some(format!("the bucket is not kept small: {problem}; see `ccm ltx verify`"))
}

fn node_status(record: NodeRecord) -> NodeStatus {
    NodeStatus {
        node_id: record.node_id,
        role: record.role,
        backend_status: record.backend_status,
        txid: record.txid,
        replication_lag_ms: record.lag_ms,
        last_seen: record.last_seen,
        diverged_files: record.diverged_files,
        diverged_bytes: record.diverged_bytes,
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
