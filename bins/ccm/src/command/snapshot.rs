//! `ccm snapshot`: the primary puts the whole database into the bucket, now. Works from any node.

use std::time::Duration;

use ccm_control::SnapshotTaken;
use ccm_types::NodeId;
use serde_json::json;

use crate::bucket::moment;
use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::config::duration;
use crate::exit::{Ended, Exit, Failure};
use crate::moving::Moving;
use crate::{print, progress};

/// The longest wait.
const WITHIN_MAX: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(shared: &Shared, timeout: &str) -> Ended {
    let within = duration::parse(timeout).filter(|t| !t.is_zero() && *t <= WITHIN_MAX);
    let Some(within) = within else {
        return Err(Failure::usage(format!(
            "--timeout {timeout:?} is not a time to wait: write a duration like 10m, 90s or 1h, at \
             most 24h"
        )));
    };
    let cluster = Cluster::connect(shared).await?;
    let lease = cluster.lease().await?;
    let Some(primary) = lease.as_ref().and_then(|lease| lease.leader().cloned()) else {
        return Err(Failure::again(
            "No leader currently exists in the cluster, and only a PRIMARY takes snapshots: see \
             `ccm status`",
        ));
    };
    if !shared.json {
        print::line(&asking(&primary, &cluster.settings.node))?;
    }
    let mut moving = Moving::new(&cluster, shared.json);
    let taken = moving.patiently(cluster.snapshot(&primary, within)).await??;
    done(shared, &primary, &taken)?;
    Ok(Exit::Done)
}

fn asking(primary: &NodeId, own: &NodeId) -> String {
    if primary == own {
        format!("Taking a snapshot on {primary}, the PRIMARY...")
    } else {
        format!("{primary} is the PRIMARY: asking it to take a snapshot...")
    }
}

fn done(shared: &Shared, primary: &NodeId, taken: &SnapshotTaken) -> std::io::Result<()> {
    let at = moment(taken.committed_at_ms);
    if shared.json {
        return print::json(&json!({
            "ok": true,
            "node": primary,
            "name": taken.name,
            "txid": taken.txid,
            "epoch": taken.epoch,
            "size": taken.size,
            "committedAt": at,
            "tookMs": taken.took_ms,
        }));
    }
    let (size, took) = (progress::bytes(taken.size), Duration::from_millis(taken.took_ms));
    let took = progress::took(took);
    print::line(&format!("✓ {} is in the bucket: {size}, {took}", taken.name))?;
    print::line(&format!("  It holds everything up to transaction {} ({at})", taken.txid))
}
