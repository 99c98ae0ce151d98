//! Elects a leader between terminals.
//!
//! ```text
//! nats-server -js &
//! cargo run -p ccm-election --example elect -- --node a
//! cargo run -p ccm-election --example elect -- --node b     # in another terminal
//! ```
//!
//! Ctrl-C gives the lease back, and the other leads at once; `kill -9` does not, and it leads
//! when the lease has run out.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ccm_election::{Campaign, Change, Election, ElectionConfig, LossReason, Timing};
use ccm_types::{BootClock, NodeId, Txid};
use clap::Parser;
use tokio::sync::mpsc;

/// How long a release may take at most: the lease runs out before.
const RELEASE_LEASES: u32 = 2;

#[derive(Debug, Parser)]
struct Args {
    /// Where NATS is.
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// The KV bucket of the lease; created when it is not there.
    #[arg(long, default_value = "elect")]
    bucket: String,
    /// This candidate; each terminal another.
    #[arg(long)]
    node: NodeId,
    /// How long a silent leader keeps the lease.
    #[arg(long, default_value_t = 5000)]
    ttl_ms: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let ttl = Duration::from_millis(args.ttl_ms);
    let config = ElectionConfig {
        bucket: args.bucket,
        replicas: 1,
        node: args.node.clone(),
        instance: nuid::next().to_string(),
        address: String::from("127.0.0.1"),
        timing: Timing { ttl, heartbeat: ttl / 4 },
        priority: 100,
        floor: ccm_types::Epoch::NONE,
    };
    let client = async_nats::connect(&args.nats)
        .await
        .with_context(|| format!("could not connect to {}", args.nats))?;
    let (election, mut changes) = Election::start(client, config).await?;
    election.campaign(Campaign::On);
    println!("{} is a candidate; Ctrl-C gives the lease back and ends", args.node);
    let leads = watch(&args.node, &mut changes).await?;
    election.campaign(Campaign::Off);
    if leads {
        election.release(Txid::ZERO, None);
        let released = async {
            while let Some(change) = changes.recv().await {
                if change == Change::Released {
                    println!("{} has given the lease back", args.node);
                    return;
                }
            }
        };
        tokio::time::timeout(ttl * RELEASE_LEASES, released).await.context("release the lease")?;
    }
    election.stop().await;
    Ok(())
}

/// Prints what happens until Ctrl-C; returns whether this node leads.
async fn watch(node: &NodeId, changes: &mut mpsc::Receiver<Change>) -> Result<bool> {
    let mut leads = false;
    loop {
        let change = tokio::select! {
            pressed = tokio::signal::ctrl_c() => {
                pressed.context("wait for Ctrl-C")?;
                return Ok(leads);
            }
            change = changes.recv() => change.context("the election has ended")?,
        };
        match change {
            Change::Won { epoch, valid_until, .. } => {
                leads = true;
                let left = valid_until.since(BootClock.now());
                println!("{node} LEADS epoch {epoch}, for {left:?} at a time");
            }
            Change::Lost(LossReason::Expired) => {
                leads = false;
                println!("{node} leads no more: the lease could not be renewed in time");
            }
            Change::Lost(LossReason::Superseded) => {
                leads = false;
                println!("{node} leads no more: somebody else has written the lease");
            }
            Change::Leader(Some(held)) if held.released => {
                println!("{} has stepped down after epoch {}", held.node, held.epoch);
            }
            Change::Leader(Some(held)) if held.node != *node => {
                println!("{} leads epoch {}", held.node, held.epoch);
            }
            Change::Leader(None) => println!("nobody leads"),
            Change::Leader(Some(_)) | Change::Renewed { .. } | Change::Released => {}
        }
    }
}
