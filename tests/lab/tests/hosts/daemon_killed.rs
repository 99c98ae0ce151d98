//! The daemon of the primary is killed; everything else goes on.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_lab::{Site, SiteOptions};

use crate::stage::{BACKEND, DAEMON, on_site, outage};

/// Longer than a client ever waits for an answer on a busy machine, shorter than any failover.
const NO_OUTAGE: Duration = Duration::from_secs(1);

/// SIGKILL to the daemon alone.
fn kill(site: &Site) -> Result<()> {
    let kill = ["systemctl", "kill", "--signal=KILL", "--kill-whom=main", DAEMON];
    site.host(1)?.done(&kill).map(drop)
}

#[test]
fn a_daemon_that_systemd_brings_back_within_the_lease_is_no_failover() {
    let test = "a_daemon_that_systemd_brings_back_within_the_lease_is_no_failover";
    // What `init` writes; the unit brings it back after a second.
    let defaults = SiteOptions {
        ttl: Duration::from_secs(10),
        heartbeat: Duration::from_secs(3),
        ..SiteOptions::default()
    };
    on_site(test, 2, defaults, |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("back")?);
        load.wait_more(300)?;
        let epoch = site.epoch(1)?;
        let backend = site.host(1)?.unit(BACKEND);
        ensure!(!backend.is_empty(), "no backend");

        let killed = Instant::now();
        kill(site)?;
        let restarts = || site.host(1)?.done(&["systemctl", "show", "-P", "NRestarts", DAEMON]);
        site.wait_serves(1)?;
        ensure!(restarts()? == "1\n", "restarted {} times", restarts()?.trim());
        // Past the lease of the daemon that is gone.
        ccm_lab::wait_for(Duration::from_secs(60), "the former lease to be over", || {
            (killed.elapsed() > site.options().ttl + NO_OUTAGE).then_some(())
        })?;
        site.wait_serves(1)?;
        ensure!(site.epoch(1)? == epoch, "a new epoch: it was a failover");
        ensure!(site.host(1)?.unit(BACKEND) == backend, "the backend was restarted");
        let took = outage("daemon killed and back", &load, killed)?;
        ensure!(took < NO_OUTAGE, "clients were not served for {took:?}");
        let (lost, _) = site.lost(&load.stop()?, killed)?;
        ensure!(lost == 0, "{lost} acknowledged writes lost");
        watch.one_backend()?;
        ensure!(wire.holders() == [site.host(1)?.mac()]);
        wire.never_two()
    });
}

#[test]
fn a_daemon_that_does_not_come_back_is_ended_for_by_its_guard() {
    let test = "a_daemon_that_does_not_come_back_is_ended_for_by_its_guard";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let host = site.host(1)?;
        host.sh(&format!(
            "mkdir -p /run/systemd/system/{DAEMON}.d && \
             printf '[Service]\\nRestart=no\\n' > /run/systemd/system/{DAEMON}.d/once.conf && \
             systemctl daemon-reload"
        ))?
        .ok()?;
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("gone")?);
        load.wait_more(300)?;

        let killed = Instant::now();
        kill(site)?;
        site.wait_serves(2)?;
        load.wait_served_since(Instant::now())?;
        let (address, backend) = watch.gaps(1, 2)?;
        println!("no daemon: nobody had the address for {address:?}, no backend for {backend:?}");
        ensure!(address > Duration::ZERO && backend > Duration::ZERO, "no gap");
        outage("daemon killed for good", &load, killed)?;

        host.done(&["systemctl", "start", DAEMON])?;
        site.wait_follows(1)?;
        load.wait_more(100)?;
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()
    });
}
