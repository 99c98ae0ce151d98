//! `ccm leave`: this node takes no part in the cluster any more, until `ccm join`.

use serde_json::json;

use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit};
use crate::moving::Moving;
use crate::print;

pub(crate) async fn run(shared: &Shared) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let settings = &cluster.settings;
    let say = |line: String| if shared.json { Ok(()) } else { print::line(&line) };
    say(format!("Leaving cluster {}...", settings.cluster))?;
    let lease = cluster.lease().await?;
    let led = lease.as_ref().and_then(|lease| lease.leader()) == Some(&settings.node);
    if led {
        say(String::from("Stepping down from leadership..."))?;
    }
    let mut moving = Moving::new(&cluster, shared.json);
    let asked = cluster.leave(Moving::within(&cluster));
    moving.patiently(asked).await??;
    if shared.json {
        print::json(&json!({ "ok": true, "nodeId": settings.node, "steppedDown": led }))?;
    }
    say(String::from("✓ Successfully left cluster"))?;
    Ok(Exit::Done)
}
