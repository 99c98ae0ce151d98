//! The daemon as systemd has it: what it says, a reload, SIGHUP at the wrong time, the watchdog.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ccm_lab::{Host, Load, PATIENCE, Site, SiteOptions, wait_for};
use serde_json::Value;

use crate::stage::{BACKEND, DAEMON, on_site, outage, status_line, wait_status_line};
use crate::write_lock;

const CONFIG: &str = "etc/convex/cluster.json";
const SERVING: &str = "PRIMARY of epoch 1: serving";
/// Two configurations by turns, and a SIGHUP after each: one that finds the daemon in every step
/// of a move.
const HANGUPS: &str = "while :; do for one in a b; do \
  cp /run/$one.json /etc/convex/new.json && mv /etc/convex/new.json /etc/convex/cluster.json; \
  systemctl kill --signal=HUP --kill-whom=main convex-cluster-manager; sleep 0.02; \
  done; done";
/// Reloads that a host must at least have seen in two moves.
const RELOADS: usize = 10;

#[test]
fn a_daemon_under_systemd_is_told_of_reloaded_in_every_step_and_replaced_when_it_hangs() {
    let test =
        "a_daemon_under_systemd_is_told_of_reloaded_in_every_step_and_replaced_when_it_hangs";
    // What `init` writes: the watchdog is made for this lease.
    let defaults = SiteOptions {
        ttl: Duration::from_secs(10),
        heartbeat: Duration::from_secs(3),
        ..SiteOptions::default()
    };
    on_site(test, 2, defaults, |site: &Site| -> Result<()> {
        let (watch, wire) = (site.watch()?, site.wire()?);
        says_what_it_does(site)?;
        is_reloaded(site.host(1)?)?;
        let load = site.load("hangups")?;
        load.wait_more(100)?;
        moves_under_hangups(site, &load)?;
        let (lost, _) = site.lost(&load.stop()?, Instant::now())?;
        ensure!(lost == 0, "{lost} acknowledged writes lost in planned moves");
        hangs_with_the_write_lock(site)?;
        watch.one_backend()?;
        watch.one_address()?;
        ensure!(wire.holders() == [site.host(1)?.mac(), site.host(2)?.mac()]);
        wire.never_two()
    });
}

/// The lines of `systemctl status`, and the fields of the journal.
fn says_what_it_does(site: &Site) -> Result<()> {
    wait_status_line(site.host(1)?, |line| line == SERVING)?;
    wait_status_line(site.host(2)?, |line| line == "PASSIVE: node-1 leads epoch 1; follows")?;
    let asked = ["journalctl", "-o", "json", "CCM_ROLE=PRIMARY", "CCM_EPOCH=1"];
    let entries = site.host(1)?.done(&asked)?;
    let entries: Vec<Value> =
        entries.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("no JSON")?;
    let told = entries.iter().find(|entry| entry["F_REASON"].is_string());
    let told = told.with_context(|| format!("no change of role among {entries:?}"))?;
    for (field, value) in [
        ("SYSLOG_IDENTIFIER", "ccm"),
        ("_SYSTEMD_UNIT", DAEMON),
        ("PRIORITY", "6"),
        ("CCM_CLUSTER", "convex-prod"),
        ("CCM_NODE", "node-1"),
        ("F_ROLE", "PRIMARY"),
        ("F_EPOCH", "1"),
    ] {
        ensure!(told[field] == value, "{field} is not {value} in {told}");
    }
    for field in ["MESSAGE", "TARGET", "CODE_FILE", "CODE_LINE", "F_TOOK_MS"] {
        ensure!(told[field].is_string(), "no {field} in {told}");
    }
    Ok(())
}

/// By `systemctl reload`: what can change, what cannot, and a file that is wrong.
fn is_reloaded(host: &Host) -> Result<()> {
    let before = std::fs::read_to_string(host.path(CONFIG))?;
    let edited = |edit: &dyn Fn(&mut Value)| -> Result<()> {
        let mut config: Value = serde_json::from_str(&before)?;
        edit(&mut config);
        host.write(CONFIG, &config.to_string())
    };
    let reload = ["systemctl", "reload", DAEMON];
    edited(&|config| {
        config["log"] = serde_json::json!({ "level": "debug" });
        config["election"]["leaderTtlMs"] = 12_000.into();
    })?;
    host.done(&reload)?;
    let waits = "PRIMARY of epoch 1: serving; PROBLEM: changes of election.leaderTtlMs in the \
                 configuration wait for a restart of the daemon";
    wait_status_line(host, |line| line == waits)?;
    wait_for(PATIENCE, "lines of level debug in the journal", || {
        let lines = host.done(&["journalctl", "-t", "ccm", "-p", "7..7", "-o", "cat"]).ok()?;
        (!lines.is_empty()).then_some(())
    })?;

    edited(&|config| config["election"]["leaderTtlMs"] = "ten".into())?;
    let refused = host.exec(&reload)?;
    ensure!(refused.code != Some(0), "a wrong file was reloaded: {refused:?}");
    ensure!(status_line(host)? == waits, "it says {}", status_line(host)?);

    host.write(CONFIG, &before)?;
    host.done(&reload)?;
    wait_status_line(host, |line| line == SERVING)?;
    settled(host, 0)
}

/// There and back again.
fn moves_under_hangups(site: &Site, load: &Load) -> Result<()> {
    let epoch = site.epoch(1)?;
    for host in site.lab().hosts() {
        let text = std::fs::read_to_string(host.path(CONFIG))?;
        let mut config: Value = serde_json::from_str(&text)?;
        for (name, interval) in [("a", 1500), ("b", 700)] {
            config["backend"]["healthIntervalMs"] = interval.into();
            host.sh(&format!("cat > /run/{name}.json <<'END'\n{config}\nEND"))?.ok()?;
        }
        host.done(&["systemd-run", "--quiet", "--unit=hangups", "sh", "-c", HANGUPS])?;
    }
    let asked = Instant::now();
    for (from, to) in [(1, 2), (2, 1)] {
        site.host(from)?.done(&["ccm", "switchover", "--to", &format!("node-{to}")])?;
        site.wait_serves(to)?;
        site.wait_follows(from)?;
    }
    load.wait_more(100)?;
    outage("two planned moves under SIGHUP", load, asked)?;
    for host in site.lab().hosts() {
        wait_for(PATIENCE, &format!("{} to be reloaded often", host.name()), || {
            let journal = host.done(&["journalctl", "-t", "ccm", "-o", "cat"]).ok()?;
            let reloads = journal.matches("the configuration was taken over").count();
            (reloads >= RELOADS).then_some(())
        })?;
        host.done(&["systemctl", "stop", "hangups"])?;
        settled(host, 0)?;
    }
    ensure!(site.epoch(1)? == epoch + 2, "two moves are two epochs");
    Ok(())
}

/// systemd believes that it runs, and has started it again so often.
fn settled(host: &Host, restarts: u32) -> Result<()> {
    wait_for(PATIENCE, &format!("{} not to be reloading", host.name()), || {
        let state = host.done(&["systemctl", "show", "-P", "ActiveState", DAEMON]).ok()?;
        (state == "active\n").then_some(())
    })?;
    let restarted = host.done(&["systemctl", "show", "-P", "NRestarts", DAEMON])?;
    ensure!(restarted == format!("{restarts}\n"), "restarted {} times", restarted.trim());
    Ok(())
}

/// The worst moment: nobody can commit until it is ended.
fn hangs_with_the_write_lock(site: &Site) -> Result<()> {
    let host = site.host(1)?;
    let load = site.load_with("hangs", 8, Duration::from_millis(10), Duration::from_secs(5))?;
    load.wait_more(100)?;
    let (epoch, backend) = (site.epoch(1)?, host.unit(BACKEND));
    ensure!(!backend.is_empty(), "no backend");

    write_lock::stop_its_holder(host)?;
    let hung = Instant::now();
    // Its successor has to be up before it is asked: the one that hangs does not answer.
    wait_for(PATIENCE, "the watchdog to replace the daemon", || settled(host, 1).ok())?;
    site.wait_serves(1)?;
    load.wait_served_since(Instant::now())?;
    let journal = site.journal(1)?;
    ensure!(journal.contains("Watchdog timeout"), "not by the watchdog:\n{journal}");
    // Past the lease of the daemon that is gone.
    wait_for(PATIENCE, "the former lease to be over", || {
        (hung.elapsed() > site.options().ttl + Duration::from_secs(1)).then_some(())
    })?;
    site.wait_serves(1)?;
    outage("daemon that hung with SQLite's write lock", &load, hung)?;
    ensure!(site.epoch(1)? == epoch, "a new epoch: it was a failover");
    ensure!(host.unit(BACKEND) == backend, "the backend was restarted");
    let (lost, _) = site.lost(&load.stop()?, hung)?;
    ensure!(lost == 0, "{lost} acknowledged writes lost");
    Ok(())
}
