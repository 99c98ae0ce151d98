//! The unit of the backend is not as it should be: a boot starts it, it is masked, it is missing.

use std::time::Instant;

use anyhow::{Result, ensure};
use ccm_lab::{Host, Load, PATIENCE, Site, SiteOptions, VIP, wait_for};
use serde_json::Value;

use crate::stage::{BACKEND, DAEMON, on_site, outage, wait_status_line};

const CONFIG: &str = "etc/convex/cluster.json";
const UNIT: &str = "/etc/systemd/system/convex-backend.service";
/// The exit code of a daemon whose host is set up wrongly.
const USAGE: &str = "64\n";

#[test]
fn a_backend_that_a_boot_starts_is_ended_and_one_that_cannot_start_is_handed_over() {
    let test = "a_backend_that_a_boot_starts_is_ended_and_one_that_cannot_start_is_handed_over";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (wire, load) = (site.wire()?, site.load("boot")?);
        load.wait_more(100)?;
        {
            let watch = site.watch()?;
            cannot_start(site, &load, "is masked", |host| {
                host.sh(&format!("mv {UNIT} /root/ && ln -s /dev/null {UNIT}"))
            })?;
            cannot_start(site, &load, "systemd knows no unit", |host| {
                host.sh(&format!("mv {UNIT} /root/"))
            })?;
            watch.one_backend()?;
            watch.one_address()?;
        }
        refused_at_boot(site)?;
        disabled_at_boot(site)?;
        load.wait_more(100)?;
        wire.never_two()
    });
}

/// Takes the unit away from the primary, whose backend then ends. When the other node serves, puts
/// it back and moves the primary back.
fn cannot_start(
    site: &Site,
    load: &Load,
    words: &str,
    away: impl Fn(&Host) -> Result<ccm_lab::Ran>,
) -> Result<()> {
    let host = site.host(1)?;
    away(host)?.ok()?;
    host.done(&["systemctl", "daemon-reload"])?;
    let struck = Instant::now();
    // It may have a unit no more, but it has a cgroup.
    for pid in host.unit(BACKEND) {
        ccm_harness::processes::signal(pid, ccm_harness::processes::Signal::KILL);
    }
    site.wait_serves(2)?;
    load.wait_served_since(Instant::now())?;
    outage(&format!("a unit that {words}"), load, struck)?;
    wait_status_line(host, |line| line.starts_with("PASSIVE: ") && line.contains(words))?;
    site.wait_status(1, words, |status| {
        status["role"] == "PASSIVE"
            && status["problem"].as_str().is_some_and(|problem| problem.contains(words))
    })?;

    host.sh(&format!("rm -f {UNIT} && mv /root/{BACKEND} {UNIT} && systemctl daemon-reload"))?
        .ok()?;
    host.done(&["ccm", "promote"])?;
    site.wait_serves(1)
}

/// What people do whom the comment in the unit does not keep from it.
fn enable(host: &Host) -> Result<()> {
    host.done(&["sed", "-i", "s/^# WantedBy=/WantedBy=/", UNIT])?;
    host.done(&["systemctl", "daemon-reload"])?;
    host.done(&["systemctl", "enable", "--quiet", BACKEND]).map(drop)
}

fn shows(host: &Host, unit: &str, property: &str) -> Result<String> {
    host.done(&["systemctl", "show", "-P", property, unit])
}

/// `enabledUnit` is `refuse`: the host comes back without a backend and without a daemon, and
/// says what to do.
fn refused_at_boot(site: &Site) -> Result<()> {
    let host = site.host(1)?;
    enable(host)?;
    host.cut()?;
    site.wait_serves(2)?;
    host.boot()?;
    wait_for(PATIENCE, "the daemon to refuse", || {
        let ended = shows(host, DAEMON, "ActiveState").ok()? == "failed\n";
        (ended && shows(host, DAEMON, "ExecMainStatus").ok()? == USAGE).then_some(())
    })?;
    ensure!(host.unit(BACKEND).is_empty(), "the daemon has left a backend that nobody minds");
    host.wait_running()?;
    let state = shows(host, BACKEND, "ActiveState")?;
    ensure!(state == "inactive\n" && host.unit(BACKEND).is_empty(), "the backend is {state}");
    ensure!(!host.has(VIP), "it has the address");
    let journal = site.journal(1)?;
    for words in [
        "convex-backend.service is enabled, so every boot starts it",
        "systemctl disable convex-backend.service",
    ] {
        ensure!(journal.contains(words), "no {words:?} in\n{journal}");
    }

    host.done(&["systemctl", "disable", "--quiet", BACKEND])?;
    host.done(&["systemctl", "start", DAEMON])?;
    site.wait_follows(1)
}

/// `enabledUnit` is `disable`, and the host that loses its power for a moment is the primary: its
/// lease may outlast that.
fn disabled_at_boot(site: &Site) -> Result<()> {
    let host = site.host(2)?;
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(host.path(CONFIG))?)?;
    config["backend"]["enabledUnit"] = "disable".into();
    host.write(CONFIG, &config.to_string())?;
    enable(host)?;
    host.cut()?;
    host.boot()?;
    wait_for(PATIENCE, "the unit to be disabled", || {
        (shows(host, BACKEND, "UnitFileState").ok()? == "disabled\n").then_some(())
    })?;
    let serves = site.wait_other_serves(0)?;
    site.wait_follows(3 - serves)?;
    ensure!(site.host(3 - serves)?.unit(BACKEND).is_empty(), "a passive has a backend");
    let journal = site.journal(2)?;
    let said = "a boot would start the backend: it is disabled";
    ensure!(journal.contains(said), "no {said:?} in\n{journal}");
    Ok(())
}
