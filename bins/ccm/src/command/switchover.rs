//! `ccm switchover --to NODE`: the present primary hands over to that node.

use ccm_types::NodeId;
use serde_json::json;

use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit, Failure};
use crate::moving::{Moving, Serving};
use crate::print;

pub(crate) async fn run(shared: &Shared, to: &str) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let to = NodeId::new(to)
        .map_err(|error| Failure::usage(format!("--to {to:?} is not a node: {error}")))?;
    let lease = cluster.lease().await?;
    let held = lease.as_ref().and_then(|lease| Some((lease.leader()?.clone(), lease.epoch())));
    let Some((leader, epoch)) = held else {
        return Err(Failure::again(format!(
            "no node leads at present, so none can hand over: see `ccm status`; `ccm promote` on \
             {to} makes it the leader"
        )));
    };
    if leader == to {
        done(shared, &leader, &Serving { node: to, epoch })?;
        return Ok(Exit::Done);
    }
    present(&cluster, &to).await?;
    if !shared.json {
        print::line(&format!("Switching over from {leader} to {to}..."))?;
    }
    let mut moving = Moving::new(&cluster, shared.json);
    let asked = cluster.demote(&leader, Some(to.clone()), Moving::within(&cluster));
    moving.patiently(asked).await??;
    moving.say(&format!("{leader} has handed over"))?;
    let serving = moving.until_served(epoch, Some(&to)).await?;
    done(shared, &leader, &serving)?;
    Ok(Exit::Done)
}

/// Refuses a node that could not take over, before anything is stopped.
async fn present(cluster: &Cluster, to: &NodeId) -> Result<(), Failure> {
    if cluster.answers(to).await {
        return Ok(());
    }
    let nodes = cluster.node_ids().await?;
    if nodes.contains(to) {
        return Err(Failure::again(format!(
            "the daemon of {to} does not answer: nothing was changed; start it, then try again"
        )));
    }
    let known: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let known = if known.is_empty() { String::from("none") } else { known.join(", ") };
    Err(Failure::usage(format!(
        "no node {to} takes part in the cluster {}: nothing was changed; its live nodes are \
         {known}",
        cluster.settings.cluster,
    )))
}

fn done(shared: &Shared, from: &NodeId, serving: &Serving) -> std::io::Result<()> {
    let Serving { node, epoch } = serving;
    if shared.json {
        return print::json(&json!({ "ok": true, "from": from, "leader": node, "epoch": epoch }));
    }
    let when = if from == node { "already" } else { "now" };
    print::line(&format!("✓ {node} is the leader {when} (epoch {epoch})"))
}
