//! `ccm demote`: the present primary hands over to another node. Works from any node.

use serde_json::json;

use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit, Failure};
use crate::moving::Moving;
use crate::print;

pub(crate) async fn run(shared: &Shared) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let lease = cluster.lease().await?;
    let held = lease.as_ref().and_then(|lease| Some((lease.leader()?.clone(), lease.epoch())));
    let Some((leader, epoch)) = held else {
        return Err(Failure::again("No leader currently exists in the cluster: see `ccm status`"));
    };
    let say = |line: String| if shared.json { Ok(()) } else { print::line(&line) };
    say(format!("Demoting node {leader} from leader..."))?;
    let mut moving = Moving::new(&cluster, shared.json);
    let asked = cluster.demote(&leader, None, Moving::within(&cluster));
    moving.patiently(asked).await??;
    say(String::from("✓ Successfully demoted from leader"))?;
    let serving = moving.until_served(epoch, None).await?;
    if shared.json {
        print::json(&json!({
            "ok": true,
            "from": leader,
            "leader": serving.node,
            "epoch": serving.epoch,
        }))?;
    } else if serving.node == leader {
        let line = format!("⚠ {leader} leads again: no other node took over (see `ccm status`)");
        print::line(&line)?;
    } else {
        print::line(&format!("✓ {} is the leader now (epoch {})", serving.node, serving.epoch))?;
    }
    Ok(Exit::Done)
}
