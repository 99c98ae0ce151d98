//! `ccm promote`: this node becomes the primary; the present one hands over.

use serde_json::json;

use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit};
use crate::moving::Moving;
use crate::print;

pub(crate) async fn run(shared: &Shared) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let node = &cluster.settings.node;
    let say = |line: String| if shared.json { Ok(()) } else { print::line(&line) };
    say(format!("Attempting to promote node {node} to leader..."))?;
    let mut moving = Moving::new(&cluster, shared.json);
    let asked = cluster.promote(Moving::within(&cluster));
    moving.patiently(asked).await??;
    let epoch = cluster.lease().await?.map(|lease| lease.epoch());
    if shared.json {
        print::json(&json!({ "ok": true, "leader": node, "epoch": epoch }))?;
    }
    say(String::from("✓ Successfully promoted to leader"))?;
    Ok(Exit::Done)
}
