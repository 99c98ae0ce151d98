//! The deployment checklist of the seed, as printed and with the units that it prints: three hosts,
//! a NATS server on each.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ccm_lab::{Host, Lab, PATIENCE, Site, SiteOptions, Source, wait_for};

use crate::stage::{on_installed, outage};

/// Step 2 of the checklist.
const INIT: &str = "convex-cluster-manager init \
  --cluster-id convex-prod \
  --node-id $(hostname) \
  --nats nats://nats1:4222,nats://nats2:4222,nats://nats3:4222 \
  --vip 10.0.1.100 \
  --interface eth0";

const INITIALIZED: &str = "\
✓ Cluster configuration initialized
  Config file: /etc/convex/cluster.json
  Cluster ID:  convex-prod
  Node ID:     HOST
  NATS:        [nats://nats1:4222 nats://nats2:4222 nats://nats3:4222]
  VIP:         10.0.1.100/24 on eth0

Next steps:
  ccm join      # on a further node of a cluster that has data
  ccm daemon    # or: systemctl start convex-cluster-manager
";

const PRIMARY: &str = "\
Cluster Status
==============

Cluster ID:  convex-prod
Node ID:     node-1
NATS:        [nats://nats1:4222 nats://nats2:4222 nats://nats3:4222]
VIP:         10.0.1.100/24

Role:        PRIMARY
Leader:      node-1
Backend:     running
Rep. Lag:    0ms
VIP Status:  held (this node is PRIMARY)
";

/// What `join` prints, but for the lines that tell how far it is.
const JOINED: &str = "\
Joining cluster convex-prod as node HOST...
✓ Connected to cluster. Current leader: node-1
Bootstrapping data from cluster snapshot...
✓ Data bootstrapped to /var/lib/convex/data.db
✓ Successfully joined cluster
";

#[test]
fn the_checklist_of_the_seed_works_as_printed() {
    let how = SiteOptions { source: Source::Seed, nats_on_hosts: true, ..SiteOptions::default() };
    on_installed("the_checklist_of_the_seed_works_as_printed", 3, how, |site: &Site| {
        let lab = site.lab();
        for host in lab.hosts() {
            let printed = sh(host, INIT)?;
            same("init", &printed, &INITIALIZED.replace("HOST", &host.name()))?;
            sh(host, "systemctl daemon-reload")?;
            sh(host, "systemctl enable convex-cluster-manager")?;
            let enabled = host.sh("systemctl is-enabled convex-backend")?.out;
            ensure!(enabled != "enabled\n", "the backend is enabled on {}", host.name());
        }

        let first = lab.host(1)?;
        sh(first, "systemctl start convex-cluster-manager")?;
        site.wait_serves(1)?;
        first_write(lab)?;
        for host in &lab.hosts()[1..] {
            let printed = sh(host, "convex-cluster-manager join")?;
            same("join", &printed, &JOINED.replace("HOST", &host.name()))?;
            sh(host, "systemctl start convex-cluster-manager")?;
            site.wait_follows(host.number())?;
        }

        let status = sh(first, "convex-cluster-manager status")?;
        ensure!(status.starts_with(PRIMARY), "status prints\n{status}");
        let journal = sh(first, "journalctl --no-pager -u convex-cluster-manager")?;
        ensure!(journal.contains("role=PRIMARY epoch=1"), "the journal says\n{journal}");
        sh(first, "ip addr show eth0 | grep 10.0.1.100")?;
        ensure!(sh(first, "systemctl is-active convex-backend")? == "active\n");

        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("checklist-load")?);
        load.wait_more(100)?;
        let asked = Instant::now();
        let demoted = sh(first, "convex-cluster-manager demote")?;
        ensure!(
            demoted.starts_with(
                "Demoting node node-1 from leader...\n✓ Successfully demoted from leader\n"
            ),
            "demote prints\n{demoted}"
        );
        let next = site.wait_other_serves(1)?;
        ensure!(
            demoted.ends_with(&format!("✓ node-{next} is the leader now (epoch 2)\n")),
            "demote prints\n{demoted}"
        );
        sh(lab.host(next)?, "ip addr show eth0 | grep 10.0.1.100")?;
        ensure!(first.sh("ip addr show eth0 | grep 10.0.1.100")?.out.is_empty());
        site.wait_follows(1)?;
        load.wait_more(100)?;
        outage("checklist: demote", &load, asked)?;
        let (lost, _) = site.lost(&load.stop()?, asked)?;
        ensure!(lost == 0, "{lost} acknowledged writes lost");
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()?;
        let held = sh(first, "convex-cluster-manager vip status")?;
        same("vip status", &held, "10.0.1.100/24 on eth0: not held\n")
    });
}

/// A line of the checklist, which has to succeed.
fn sh(host: &Host, line: &str) -> Result<String> {
    host.sh(line)?.ok().with_context(|| format!("{line} on {}", host.name()))
}

fn same(what: &str, printed: &str, expected: &str) -> Result<()> {
    ensure!(printed == expected, "{what} prints\n{printed}\nand not\n{expected}");
    Ok(())
}

/// A client that knows the virtual IP alone finds the service.
fn first_write(lab: &Lab) -> Result<()> {
    let write = [
        "curl",
        "--silent",
        "--fail",
        "--json",
        r#"{"client":"checklist","n":1}"#,
        "http://10.0.1.100:3210/write",
    ];
    let row = wait_for(PATIENCE, "the service behind the virtual IP", || {
        lab.client().exec(&write).ok()?.ok().ok()
    })?;
    same("the service", &row, "{\"id\":1}")
}
