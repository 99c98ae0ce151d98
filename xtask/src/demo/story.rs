//! What happens in the demo, and what is measured.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ccm_harness::processes::Process;
use ccm_harness::{Ack, Lost};
use serde_json::Value;

use super::stage::Stage;

/// What was seen.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The lease.
    pub(super) ttl: Duration,
    /// From the kill to the first write that another node acknowledged.
    pub(super) from_kill: Duration,
    /// From the end of the dead primary's lease to that write; `None` when it came earlier.
    pub(super) from_expiry: Option<Duration>,
    /// All acknowledged writes.
    pub(super) acknowledged: usize,
    /// Those of the dead primary that are not in the database.
    pub(super) lost: Lost,
    /// Acknowledged writes that the switchover lost.
    pub(super) lost_by_move: usize,
    /// From the last write that the old primary acknowledged to the first of the new one.
    pub(super) gap: Duration,
    /// Looks for two backends, and those that found two.
    pub(super) looks: u64,
    /// In words.
    pub(super) two: Vec<String>,
    /// Row ids that are missing in the middle.
    pub(super) holes: usize,
    /// By node: integrity check and rows.
    pub(super) checks: Vec<(String, String, i64)>,
}

/// Plays everything.
pub(super) fn tell(stage: &mut Stage) -> Result<Outcome> {
    let first = stage.wait("a primary that serves", |stage| stage.cluster.serving())?;
    stage.say(&format!("{} is primary; 300 writes a second begin", stage.name(first)));
    stage.write();
    for node in (0..stage.cluster.nodes.len()).filter(|node| *node != first) {
        stage.wait_follows(node, first)?;
        stage.say(&format!("{} follows", stage.name(node)));
    }
    stage.run_load(3)?;

    let (killed, back) = lose_host(stage, first)?;
    let second = back.node;
    let name = stage.name(first);
    let renewed = stage.lease.last_by(&name, killed).context("nobody saw the lease renewed")?;
    let ttl = stage.cluster.options.ttl;
    let from_kill = back.at - killed;
    let from_expiry = back.at.checked_duration_since(renewed.at + ttl);
    let (survivor, took) = (stage.name(second), from_kill.as_secs_f64());
    stage.say(&format!("{survivor} serves, {took:.1} s after the kill"));
    stage.run_load(2)?;
    let acks = acks(stage);
    let lost = stage.cluster.rows(second, &acks).lost(&acks, first, killed);
    stage.say(&format!("{} acknowledged writes are lost", lost.acks.len()));

    stage.cluster.nodes[first].start();
    stage.say(&format!("{name} is started again"));
    stage.wait_follows(first, second)?;
    stage.say(&format!("{name} follows"));
    stage.run_load(2)?;

    let gap = switch_over(stage, second, first)?;
    stage.run_load(2)?;
    finish(
        stage,
        first,
        Outcome {
            ttl,
            from_kill,
            from_expiry,
            acknowledged: 0,
            lost,
            lost_by_move: 0,
            gap,
            looks: 0,
            two: Vec::new(),
            holes: 0,
            checks: Vec::new(),
        },
    )
}

fn acks(stage: &Stage) -> Vec<Ack> {
    stage.writer.as_ref().map(ccm_harness::Writer::acks).unwrap_or_default()
}

/// Kills everything of the node and waits for another one to acknowledge a write.
fn lose_host(stage: &mut Stage, node: usize) -> Result<(Instant, Ack)> {
    let name = stage.name(node);
    let victims = stage.cluster.nodes[node].processes();
    let killed = stage.kill_host(node);
    let pids: Vec<String> = victims.iter().map(|Process { pid, .. }| pid.to_string()).collect();
    stage
        .say(&format!("SIGKILL to all of {name}: daemon, guard, backend (pid {})", pids.join(" ")));
    let back = stage.wait("another node to serve", |stage| {
        stage.writer.as_ref()?.first_ack(killed, Some(node))
    })?;
    Ok((killed, back))
}

/// A planned move; the time in which no write was acknowledged.
fn switch_over(stage: &mut Stage, from: usize, to: usize) -> Result<Duration> {
    stage.say(&format!("ccm switchover --to {}", stage.name(to)));
    let asked = Instant::now();
    let moved = stage.command(from, "switchover", to)?;
    ensure!(moved.code == Some(0), "switchover: {}{}", moved.out, moved.err);
    let new = stage.wait("the chosen node to serve", |stage| {
        stage.writer.as_ref()?.first_ack(asked, Some(from))
    })?;
    let old = acks(stage).iter().rev().find(|ack| ack.node == from).map(|ack| ack.at);
    let gap = new.at - old.context("the old primary never acknowledged anything")?;
    let name = stage.name(to);
    stage.say(&format!("{name} serves; clients waited {:.2} s", gap.as_secs_f64()));
    Ok(gap)
}

/// Ends the load and compares everything with everything.
fn finish(stage: &mut Stage, serving: usize, mut outcome: Outcome) -> Result<Outcome> {
    let end = Instant::now();
    let acks = stage.end_writes();
    stage.say("the writes end; every database is checked");
    let rows = stage.cluster.rows(serving, &acks);
    outcome.acknowledged = acks.len();
    outcome.holes = rows.holes().len();
    let lost = rows.lost(&acks, serving, end).acks;
    outcome.lost_by_move = lost.iter().filter(|ack| !outcome.lost.acks.contains(ack)).count();
    for node in 0..stage.cluster.nodes.len() {
        let name = stage.name(node);
        let (integrity, count) = if node == serving {
            let count = stage.cluster.nodes[node].get("/count", Duration::from_secs(30));
            let count = count.and_then(|count| count["count"].as_i64()).unwrap_or(-1);
            (stage.cluster.integrity(node), count)
        } else {
            stage.wait_follows(node, serving)?;
            check_copy(&stage.cluster.nodes[node].replica())?
        };
        outcome.checks.push((name, integrity, count));
    }
    outcome.looks = stage.one.looks();
    outcome.two = stage.one.violations();
    Ok(outcome)
}

/// Checks a copy of a replica: the file itself is the daemon's to open.
fn check_copy(replica: &Path) -> Result<(String, i64)> {
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("copy.db");
    std::fs::copy(replica, &copy).with_context(|| format!("no {}", replica.display()))?;
    let mut check = Command::new(ccm_harness::bin_dir().join("demo-backend"));
    let output = check.arg("--check").arg("--db").arg(&copy).output()?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let integrity = answer["integrity"].as_str().map_or(error, String::from);
    Ok((integrity, answer["count"].as_i64().unwrap_or(-1)))
}
