//! Prints what the nodes of a cluster say of themselves.
//!
//! ```text
//! cargo run -p ccm-kv-state --example nodes -- prod nats://127.0.0.1:4222
//! ```
//!
//! The bucket is created when the cluster has none yet.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use ccm_kv_state::Nodes;
use ccm_types::ClusterId;

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let cluster = words.next().context("usage: nodes CLUSTER [NATS-URL]")?;
    let url = words.next().unwrap_or_else(|| String::from("nats://127.0.0.1:4222"));
    let client = async_nats::connect(&url).await.with_context(|| format!("no NATS at {url}"))?;
    let nodes = Nodes::open(client, ClusterId::new(cluster)?.state_bucket(), 1).await?;
    for node in nodes.list().await? {
        writeln!(
            std::io::stdout(),
            "{} {} backend {}, txid {}, {} ms behind, seen {}",
            node.node_id,
            node.role,
            node.backend_status,
            node.txid,
            node.lag_ms,
            node.last_seen
        )?;
    }
    Ok(())
}
