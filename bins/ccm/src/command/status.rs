//! `ccm status`: the cluster as this node sees it.
//!
//! The daemon of this node is asked. When it does not answer, what NATS knows is shown: the
//! leader as the lease has it, and the nodes as they have said last.

mod render;

use ccm_control::{ControlError, DivergedFile, DivergedStatus, NodeStatus, Status, VipStatus};
use ccm_types::NodeId;
use ccm_wal_ltx::local;
use serde_json::{Value, json};

use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::command::vip;
use crate::exit::{Ended, Exit};
use crate::leader::Lease;
use crate::{print, progress, words};
use render::{Row, Shown};

/// Set-aside files that are shown one by one.
const SHOWN_MAX: usize = 3;

pub(crate) async fn run(shared: &Shared) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    match cluster.status().await {
        Ok(status) => {
            if shared.json {
                print::json(&serde_json::to_value(&status).map_err(anyhow::Error::from)?)?;
            } else {
                print::text(&render::text(&answered(&cluster, status)))?;
            }
            Ok(Exit::Done)
        }
        Err(error) => unanswered(&cluster, &error, shared.json).await,
    }
}

/// What every status shows.
fn frame(cluster: &Cluster) -> Shown {
    let settings = &cluster.settings;
    Shown {
        cluster: settings.cluster.to_string(),
        node: settings.node.to_string(),
        servers: words::servers(&settings.nats.servers),
        vip: settings.vip.as_ref().map(words::vip),
        ..Shown::default()
    }
}

fn answered(cluster: &Cluster, status: Status) -> Shown {
    Shown {
        role: Some(status.role.to_string()),
        leader: status.leader.map(|leader| leader.to_string()),
        backend: Some(status.backend_status),
        lag_ms: Some(status.replication_lag_ms),
        vip_held: status.vip.map(|vip| vip.held),
        not_eligible: status.not_eligible,
        problem: status.problem,
        diverged: diverged(&status.diverged),
        nodes: status.nodes.into_iter().map(row).collect(),
        ..frame(cluster)
    }
}

fn row(node: NodeStatus) -> Row {
    Row {
        node: node.node_id.to_string(),
        role: node.role.to_string(),
        backend: node.backend_status,
        txid: Some(node.txid.get()),
        lag_ms: Some(node.replication_lag_ms),
        seen: words::since(&node.last_seen),
        problem: notes(node.problem, node.diverged_files),
    }
}

/// What is wrong with a node, and that it has set files aside.
fn notes(problem: Option<String>, diverged: u64) -> Option<String> {
    let aside = match diverged {
        0 => None,
        1 => Some(String::from("1 data file set aside")),
        more => Some(format!("{more} data files set aside")),
    };
    match (problem, aside) {
        (Some(problem), Some(aside)) => Some(format!("{problem}; {aside}")),
        (problem, aside) => problem.or(aside),
    }
}

/// The data files that were set aside, and where to look.
fn diverged(diverged: &DivergedStatus) -> Vec<String> {
    let mut lines: Vec<String> = diverged.files.iter().take(SHOWN_MAX).map(aside).collect();
    let more = diverged.count.saturating_sub(lines.len() as u64);
    match lines.len() {
        0 => return lines,
        1 if more == 0 => {
            let name = &diverged.files[0].name;
            lines.push(format!("set aside; what only it has: ccm diverged show {name}"));
        }
        _ => {
            let more = if more > 0 { format!("and {more} more, ") } else { String::new() };
            let (bytes, max) = (progress::bytes(diverged.bytes), diverged.max_bytes);
            let max = progress::bytes(max);
            lines.push(format!("{more}{bytes} of {max} in all; look at them: ccm diverged list"));
        }
    }
    lines
}

fn aside(file: &DivergedFile) -> String {
    let DivergedFile { name, epoch, txid, bytes } = file;
    let at = txid.map_or_else(
        || String::from("an unknown transaction"),
        |txid| format!("transaction {txid}"),
    );
    format!("{name} (epoch {epoch}, in the bucket up to {at}, {})", progress::bytes(*bytes))
}

/// Those that this node's disk has, without its daemon.
fn on_disk(cluster: &Cluster) -> DivergedStatus {
    let files = &cluster.settings.files;
    // A directory that cannot be read has been told by the daemon.
    let found = local::diverged(&files.data).unwrap_or_default();
    let shown = |file: &local::Diverged| DivergedFile {
        name: file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        epoch: file.epoch,
        txid: file.txid,
        bytes: file.bytes,
    };
    DivergedStatus {
        count: found.len() as u64,
        bytes: found.iter().map(|file| file.bytes).sum(),
        max_bytes: files.diverged_max,
        files: found.iter().map(shown).collect(),
    }
}

/// Without a daemon: what NATS knows.
async fn unanswered(cluster: &Cluster, error: &ControlError, as_json: bool) -> Ended {
    let lease = cluster.lease().await?;
    let nodes = cluster.nodes().await?;
    let problem = problem(&cluster.settings.node, error);
    // The kernel of this host knows it without a daemon.
    let vip = match &cluster.settings.vip {
        Some(config) => vip::look(config)
            .await
            .ok()
            .map(|state| VipStatus { address: words::vip(config), held: state.is_held() }),
        None => None,
    };
    if as_json {
        print::json(&unknown(cluster, lease.as_ref(), &nodes, vip.as_ref(), &problem))?;
    } else {
        let shown = Shown {
            leader: lease.map(|lease| lease.in_words()),
            nodes: nodes.into_iter().map(row).collect(),
            vip_held: vip.map(|vip| vip.held),
            problem: Some(problem),
            diverged: diverged(&on_disk(cluster)),
            ..frame(cluster)
        };
        print::text(&render::text(&shown))?;
    }
    Ok(Exit::TryAgain)
}

/// Why there is no answer, and where to look.
pub(super) fn problem(node: &NodeId, error: &ControlError) -> String {
    let log = "its log: journalctl -u convex-cluster-manager";
    match error {
        ControlError::NoResponder { .. } => format!(
            "no daemon of {node} is connected to NATS: systemctl start convex-cluster-manager; \
             {log}"
        ),
        ControlError::TimedOut { within, .. } => {
            format!("the daemon of {node} has not answered within {} s; {log}", within.as_secs())
        }
        ControlError::Refused(_)
        | ControlError::Malformed { .. }
        | ControlError::NotConnected
        | ControlError::Offer { .. } => error.to_string(),
    }
}

/// The status of a node whose daemon does not answer: the keys of every status, null where only
/// the daemon knows.
fn unknown(
    cluster: &Cluster,
    lease: Option<&Lease>,
    nodes: &[NodeStatus],
    vip: Option<&VipStatus>,
    problem: &str,
) -> Value {
    let settings = &cluster.settings;
    let info = cluster.client.server_info();
    json!({
        "clusterId": settings.cluster,
        "nodeId": settings.node,
        "role": "UNKNOWN",
        "leader": lease.and_then(Lease::leader),
        "epoch": lease.map(Lease::epoch),
        "leaseRemainingMs": null,
        "leaderSince": lease.and_then(Lease::since),
        "leaseFreeInMs": null,
        "backendStatus": "unknown",
        "backendUptimeSeconds": null,
        "txid": null,
        "replicationLagMs": null,
        "unshippedBytes": null,
        "vip": vip,
        "nats": { "connected": true, "server": format!("{}:{}", info.host, info.port) },
        "notEligible": null,
        "diverged": on_disk(cluster),
        "problem": problem,
        "nodes": nodes,
    })
}
