//! What daemons use while nothing happens: a real cluster of two nodes with a backend each, and
//! the real Litestream over a database that nobody writes to.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ccm_harness::{Cluster, ClusterOptions, processes};

use super::Effort;
use crate::clock;
use crate::figures::{Figures, live};
use crate::numbers::{megabytes, number};
use crate::observer::Observer;
use crate::process::Usage;
use crate::servers::Servers;
use crate::system::{Case, System};

/// Compaction has had its turn, the allocator has settled.
const SETTLE: Duration = Duration::from_secs(35);

/// Resident memory and CPU over half a minute.
pub(crate) async fn run(effort: Effort) -> Result<Figures> {
    let mut figures = Figures::new("idle");
    let (settle, time) = effort.pick((SETTLE, Duration::from_secs(60)), (SETTLE / 35, SETTLE / 35));
    // The lease of the sample configuration.
    let (ttl, heartbeat) = (Duration::from_secs(10), Duration::from_secs(3));
    let options = ClusterOptions { ttl, heartbeat, ..ClusterOptions::default() };
    let cluster = Cluster::start(options);
    let primary = cluster.wait_serving();
    let passive = 1 - primary;
    cluster.wait_follows(passive);
    let servers = Servers::single();
    let mut case = Case::prepare(System::Stock, &servers).await?;
    let observer = Observer::start(&servers, &case.bucket).await?;
    case.begin(&servers, &observer).await?;
    drop(observer);
    tokio::time::sleep(settle).await;
    let mut all = vec![(System::Stock.name(), case.process()?.pid())];
    for (index, daemon, guard) in [
        (primary, "ccm primary", "guard of the primary"),
        (passive, "ccm passive", "guard of the passive"),
    ] {
        let node = cluster.nodes.get(index).context("a node")?;
        all.push((daemon, u32::try_from(node.daemon_pid().context("a daemon")?)?));
        let under = processes::under(&node.dir);
        if let Some(found) = under.iter().find(|process| process.command.contains(" guard ")) {
            all.push((guard, u32::try_from(found.pid)?));
        }
    }
    let before: Vec<Option<Usage>> = all.iter().map(|(_, pid)| Usage::of(*pid)).collect();
    let begin = clock::now();
    tokio::time::sleep(time).await;
    let took = clock::since(begin).as_secs_f64() * 1000.0;
    for ((name, pid), before) in all.iter().zip(before) {
        let before = before.with_context(|| format!("{name} is gone"))?;
        let now = Usage::of(*pid).with_context(|| format!("{name} is gone"))?;
        let values = [
            ("memory MB", megabytes(now.rss)),
            ("CPU %", 100.0 * number(now.cpu_ms.saturating_sub(before.cpu_ms)) / took),
        ];
        live(0, "nothing happens", name, &values);
        figures.add("nothing happens", name, 0, &values);
    }
    case.end(&servers).await?;
    Ok(figures)
}
