//! What every scenario begins with, and what many have in common.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ccm_lab::{Host, Lab, Load, Options, PATIENCE, Site, SiteOptions, turn, wait_for};
use serde_json::Value;

/// The units.
pub(crate) const DAEMON: &str = "convex-cluster-manager.service";
pub(crate) const BACKEND: &str = "convex-backend.service";

/// How old an acknowledged write may be that is lost with a host: hundreds of times what it takes
/// on a quiet machine, a fraction of any lease.
pub(crate) const LOST_AGE_MAX: Duration = Duration::from_millis(250);

/// A lab of `hosts` bare hosts for `test`.
pub(crate) fn on_lab(test: &str, hosts: u8, scenario: impl FnOnce(&Lab) -> Result<()>) {
    let Some(_turn) = turn(test) else { return };
    let lab = Lab::up(&options(hosts));
    let lab = lab.unwrap_or_else(|error| panic!("{error:#}"));
    if let Err(error) = scenario(&lab) {
        panic!("{error:?}\n{}", lab.table());
    }
}

/// ccm on `hosts` hosts: node-1 serves, the others follow.
pub(crate) fn on_site(
    test: &str,
    hosts: u8,
    how: SiteOptions,
    scenario: impl FnOnce(&Site) -> Result<()>,
) {
    on(test, hosts, |lab| Site::deploy(lab, how), scenario);
}

/// Hosts on which ccm is installed, and nothing more.
pub(crate) fn on_installed(
    test: &str,
    hosts: u8,
    how: SiteOptions,
    scenario: impl FnOnce(&Site) -> Result<()>,
) {
    on(test, hosts, |lab| Site::install(lab, how), scenario);
}

fn on(
    test: &str,
    hosts: u8,
    make: impl FnOnce(Lab) -> Result<Site>,
    scenario: impl FnOnce(&Site) -> Result<()>,
) {
    let Some(_turn) = turn(test) else { return };
    ccm_harness::build();
    let site = Lab::up(&options(hosts)).and_then(make);
    let site = site.unwrap_or_else(|error| panic!("{error:?}"));
    if let Err(error) = scenario(&site) {
        panic!("{error:?}\n{}\n{}", site.lab().table(), site.journals());
    }
}

fn options(hosts: u8) -> Options {
    Options { hosts, program: PathBuf::from(env!("CARGO_BIN_EXE_ccm-lab")) }
}

/// The leadership of `epoch` is a host's because the one before has given it away; one whose lease
/// ran out would have been a failover.
pub(crate) fn given_away(site: &Site, host: u8, epoch: u64) -> Result<()> {
    let asking = ["ccm", "history", "--json", "--limit", "100", "--node", &format!("node-{host}")];
    // It is recorded beside the work.
    let event = wait_for(PATIENCE, &format!("the history of epoch {epoch}"), || {
        let listed: Value =
            serde_json::from_str(&site.host(host).ok()?.done(&asking).ok()?).ok()?;
        let taken = |event: &&Value| event["epoch"] == epoch && event["details"]["side"] == "taken";
        listed["events"].as_array()?.iter().find(taken).cloned()
    })?;
    ensure!(event["details"]["reason"] == "released", "no planned move: {event}");
    Ok(())
}

/// How long clients were not served since shortly before `since`; printed.
pub(crate) fn outage(what: &str, load: &Load, since: Instant) -> Result<Duration> {
    let (last, first) = load.outage(since)?;
    let took = first - last;
    println!(
        "{what}: clients were not served for {took:?}, from {:?} after it happened",
        last.saturating_duration_since(since)
    );
    Ok(took)
}

/// The line in `systemctl status` of the daemon.
pub(crate) fn status_line(host: &Host) -> Result<String> {
    let line = host.done(&["systemctl", "show", "-P", "StatusText", DAEMON])?;
    Ok(String::from(line.trim_end()))
}

/// Waits until that line is as wanted.
pub(crate) fn wait_status_line(host: &Host, holds: impl Fn(&str) -> bool) -> Result<()> {
    let mut last = String::new();
    let waited = wait_for(PATIENCE, &format!("the line in the status of {}", host.name()), || {
        last = status_line(host).ok()?;
        holds(&last).then_some(())
    });
    waited.with_context(|| format!("it says {last:?}"))
}
