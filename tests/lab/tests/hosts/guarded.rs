//! The guard as a unit of its own: killed alone, alone with the lease, killed with its daemon.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_harness::processes::{self, Signal};
use ccm_lab::{Host, Load, PATIENCE, Site, SiteOptions, VIP, wait_for};

use crate::stage::{BACKEND, DAEMON, LOST_AGE_MAX, on_site, outage};
use crate::write_lock;

const GUARD: &str = "convex-cluster-guard.service";
/// The exit code of a command that may be tried again.
const TRY_AGAIN: i32 = 75;

#[test]
fn a_guard_that_was_killed_is_replaced_and_the_next_one_ends_what_a_hanging_daemon_does_not() {
    let test =
        "a_guard_that_was_killed_is_replaced_and_the_next_one_ends_what_a_hanging_daemon_does_not";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let wire = site.wire()?;
        let load = site.load("guarded")?;
        load.wait_more(100)?;
        for host in site.lab().hosts() {
            stays_away(host)?;
        }
        {
            let watch = site.watch()?;
            guard_is_replaced(site, &load)?;
            let (lost, _) = site.lost(&load.stop()?, Instant::now())?;
            ensure!(lost == 0, "{lost} acknowledged writes lost");
            daemon_hangs_past_the_lease(site)?;
            let (address, backend) = watch.gaps(1, 2)?;
            println!("hung: nobody had the address for {address:?}, no backend for {backend:?}");
            ensure!(address > Duration::ZERO && backend > Duration::ZERO, "no gap");
            watch.one_backend()?;
            watch.one_address()?;
        }
        both_are_killed(site)?;
        wire.never_two()
    });
}

/// A daemon that ends is not there again before the lease is over.
fn stays_away(host: &Host) -> Result<()> {
    host.sh(&format!(
        "mkdir -p /run/systemd/system/{DAEMON}.d && \
         printf '[Service]\\nRestartSec=10min\\n' > /run/systemd/system/{DAEMON}.d/late.conf && \
         systemctl daemon-reload"
    ))?
    .ok()
    .map(drop)
}

fn kill(host: &Host, unit: &str) {
    for pid in host.unit(unit) {
        processes::signal(pid, Signal::KILL);
    }
}

/// `vip release` is refused by the one that keeps a deadline.
fn is_armed(host: &Host) -> bool {
    let released = host.exec(&["ccm", "vip", "release"]);
    released.is_ok_and(|ran| ran.code == Some(TRY_AGAIN))
}

fn guard_is_replaced(site: &Site, load: &Load) -> Result<()> {
    let host = site.host(1)?;
    let (epoch, backend, guard) = (site.epoch(1)?, host.unit(BACKEND), host.unit(GUARD));
    ensure!(!guard.is_empty() && !backend.is_empty(), "guard {guard:?}, backend {backend:?}");
    let killed = Instant::now();
    kill(host, GUARD);
    wait_for(PATIENCE, "another guard in its unit", || {
        let now = host.unit(GUARD);
        (!now.is_empty() && now != guard).then_some(())
    })?;
    wait_for(PATIENCE, "the deadline to be told to it", || is_armed(host).then_some(()))?;
    site.wait_serves(1)?;
    load.wait_served_since(Instant::now())?;
    outage("guard killed", load, killed)?;
    ensure!(site.epoch(1)? == epoch, "a new epoch: it was a failover");
    ensure!(host.unit(BACKEND) == backend, "the backend was restarted");
    let daemon = host.done(&["systemctl", "show", "-P", "NRestarts", DAEMON])?;
    ensure!(daemon == "0\n", "the daemon was restarted {} times", daemon.trim());
    Ok(())
}

/// While it keeps everybody from committing.
fn daemon_hangs_past_the_lease(site: &Site) -> Result<()> {
    let host = site.host(1)?;
    let load = site.load_with("overdue", 8, Duration::from_millis(10), Duration::from_secs(1))?;
    load.wait_more(100)?;
    write_lock::stop_its_holder(host)?;
    let hung = Instant::now();
    site.wait_serves(2)?;
    load.wait_served_since(Instant::now())?;
    outage("daemon hung past the lease", &load, hung)?;
    wait_for(PATIENCE, "the watchdog to end the daemon", || {
        host.unit(DAEMON).is_empty().then_some(())
    })?;
    let journal = site.journal(1)?;
    ensure!(journal.contains("Watchdog timeout"), "not by the watchdog:\n{journal}");

    host.done(&["systemctl", "restart", DAEMON])?;
    site.wait_follows(1)?;
    load.wait_more(100)?;
    let (lost, age) = site.lost(&load.stop()?, hung)?;
    println!("hung: {lost} acknowledged writes lost, the oldest {age:?} old");
    ensure!(age <= LOST_AGE_MAX, "lost a write that was {age:?} old");
    // What was acknowledged after the watchdog had freed the lock and before the guard's deadline.
    let aside = site.status(1)?["diverged"]["count"].as_u64();
    ensure!(lost == 0 || aside > Some(0), "{lost} acknowledged writes are kept nowhere");
    Ok(())
}

/// Nobody keeps the deadline any more. What systemd still does is to take the address off, so
/// that no client comes to the backend that is left.
fn both_are_killed(site: &Site) -> Result<()> {
    let host = site.host(2)?;
    let epoch = site.epoch(2)?;
    let daemon = host.unit(DAEMON);
    // Else it might have another guard before it is hit itself.
    daemon.iter().for_each(|pid| processes::signal(*pid, Signal::STOP));
    kill(host, GUARD);
    kill(host, DAEMON);
    wait_for(PATIENCE, "the address to be off", || (!host.has(VIP)).then_some(()))?;
    ensure!(site.epoch(1)? == epoch, "the address went by something else");
    let journal = site.journal(2)?;
    ensure!(journal.contains("taken off"), "not by ExecStopPost=:\n{journal}");
    site.wait_serves(1)?;
    host.done(&["systemctl", "restart", DAEMON])?;
    site.wait_follows(2)?;
    ensure!(host.unit(BACKEND).is_empty(), "a backend is left on a passive node");
    Ok(())
}
