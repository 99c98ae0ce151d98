//! `ccm promote`: this node becomes the primary; the present one hands over.

use ccm_types::NodeId;
use serde_json::json;

use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit, Failure};
use crate::moving::Moving;
use crate::print;

pub(crate) async fn run(shared: &Shared) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let node = &cluster.settings.node;
    let say = |line: String| if shared.json { Ok(()) } else { print::line(&line) };
    say(format!("Attempting to promote node {node} to leader..."))?;
    let mut moving = Moving::new(&cluster, shared.json);
    if let Some(leader) = silent_leader(&cluster).await? {
        moving.say(&format!(
            "{leader} leads and does not answer: {node} takes over when its lease ends"
        ))?;
    }
    let asked = cluster.promote(Moving::within(&cluster));
    moving.patiently(asked).await??;
    let epoch = cluster.lease().await?.map(|lease| lease.epoch());
    if shared.json {
        print::json(&json!({ "ok": true, "leader": node, "epoch": epoch }))?;
    }
    say(String::from("✓ Successfully promoted to leader"))?;
    Ok(Exit::Done)
}

/// Another node that leads, and whose daemon cannot be asked to hand over.
async fn silent_leader(cluster: &Cluster) -> Result<Option<NodeId>, Failure> {
    let lease = cluster.lease().await?;
    let other = lease.as_ref().and_then(|lease| lease.leader());
    let Some(leader) = other.filter(|leader| **leader != cluster.settings.node) else {
        return Ok(None);
    };
    Ok((!cluster.answers(leader).await).then(|| leader.clone()))
}
