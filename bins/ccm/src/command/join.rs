//! `ccm join`: a node comes into the cluster with its replica up to date. Never a candidate.

mod bootstrap;

use ccm_types::{ClusterId, NodeId};
use ccm_wal_ltx::local::{Local, Paths};
use serde_json::json;

use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use crate::print;
use bootstrap::Bootstrapped;

pub(crate) async fn run(shared: &Shared) -> Ended {
    let say = |line: String| if shared.json { Ok(()) } else { print::line(&line) };
    let settings = Config::load(shared.config.as_deref())?.settings();
    say(joining(&settings.cluster, &settings.node))?;
    let cluster = Cluster::with(settings).await?;
    let settings = &cluster.settings;
    let marker = settings.files.state_dir().join("left");
    if cluster.answers(&settings.node).await {
        return Err(runs_already(&settings.node, marker.exists()));
    }
    let lease = cluster.lease().await?;
    let leader = lease.as_ref().and_then(|lease| lease.leader());
    say(connected(leader))?;

    let local = open(&cluster).await?;
    let bootstrapped = bootstrap::run(&cluster, &local, &say, !shared.json).await?;
    match std::fs::remove_file(&marker) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    if shared.json {
        let (data, position) = match bootstrapped {
            Bootstrapped::To(position) => ("bootstrapped", Some(position)),
            Bootstrapped::AlreadyNewest => ("newest", None),
            Bootstrapped::NothingYet => ("none", None),
        };
        print::json(&json!({
            "ok": true,
            "clusterId": settings.cluster,
            "nodeId": settings.node,
            "leader": leader,
            "data": data,
            "epoch": position.map(|p| p.epoch),
            "txid": position.map(|p| p.txid),
        }))?;
    }
    say(String::from("✓ Successfully joined cluster"))?;
    Ok(Exit::Done)
}

/// Takes the files of this node.
async fn open(cluster: &Cluster) -> Result<std::sync::Arc<Local>, Failure> {
    let files = &cluster.settings.files;
    let paths =
        Paths { data: files.data.clone(), replica: files.replica.clone(), owner: files.owner };
    let opened = tokio::task::spawn_blocking(move || Local::open(paths)).await;
    let local = opened.map_err(anyhow::Error::from)?.map_err(bootstrap::local_failure)?;
    Ok(std::sync::Arc::new(local))
}

/// A daemon of this node answers, so there is nothing to join with.
fn runs_already(node: &NodeId, left: bool) -> Failure {
    Failure::usage(if left {
        format!(
            "{node} has left the cluster and its daemon still runs: stop it, join, and start it \
             again"
        )
    } else {
        format!("{node} is a member already: its daemon runs and answers; see `ccm status`")
    })
}

fn joining(cluster: &ClusterId, node: &NodeId) -> String {
    format!("Joining cluster {cluster} as node {node}...")
}

fn connected(leader: Option<&NodeId>) -> String {
    match leader {
        Some(leader) => format!("✓ Connected to cluster. Current leader: {leader}"),
        None => String::from("⚠ No leader detected. This node may become leader."),
    }
}
