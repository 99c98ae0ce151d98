//! What clients see of a planned move and of a power cut: real hosts, a virtual IP, many runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ccm_harness::{Exposition, bin_dir};
use ccm_lab::{Lab, Load, Options, Site, SiteOptions};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::numbers::{millis, percentile, short};
use crate::table::{Table, line};

/// Hosts of the site.
const HOSTS: u8 = 2;
/// Where a daemon answers Prometheus.
const METRICS_PORT: u16 = 9090;
/// Steps of the primary on its way down, and of the other on its way up, as metrics name them.
const DOWN: [&str; 4] = ["release_vip", "stop_backend", "flush", "retire"];
const UP: [&str; 7] =
    ["move_fence", "catch_up", "compare", "place", "start_capture", "acquire_vip", "start_backend"];
/// How long an event may take into the history.
const RECORDED_WITHIN: Duration = Duration::from_secs(30);
/// Writes that are acknowledged before each run, and after it.
const WRITES: usize = 300;
/// Clients: each begins a write every 100 ms and gives it up after as long, so that one of them
/// tries every 5 ms, whatever the others wait for.
const CLIENTS: u32 = 20;
const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct FailoverOptions {
    /// How often each is measured
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// `election.leaderTtlMs`
    #[arg(long, default_value_t = 10_000)]
    ttl_ms: u64,
    /// `election.heartbeatIntervalMs`
    #[arg(long, default_value_t = 3_000)]
    heartbeat_ms: u64,
    /// Everything that was measured as JSON, after the tables
    #[arg(long)]
    json: bool,
}

/// The figures of one kind of run, in milliseconds, by name.
#[derive(Debug, Default)]
struct Runs(BTreeMap<&'static str, Vec<f64>>);

/// Measures and prints.
pub(crate) fn run(options: &FailoverOptions) -> Result<()> {
    let program = bin_dir().join("ccm-lab");
    let lab = Lab::up(&Options { hosts: HOSTS, program })?;
    let how = SiteOptions {
        ttl: Duration::from_millis(options.ttl_ms),
        heartbeat: Duration::from_millis(options.heartbeat_ms),
        ..SiteOptions::default()
    };
    let site = Site::deploy(lab, how)?;
    let (mut primary, mut planned, mut cut) = (1, Runs::default(), Runs::default());
    for number in 1..=options.runs {
        planned.measure(&site, &mut primary, number, "switchover", switch_over)?;
    }
    for number in 1..=options.runs {
        cut.measure(&site, &mut primary, number, "power cut", power_cut)?;
    }
    planned.print("Planned switchover");
    cut.print(&format!("Power cut, ttl {} ms", options.ttl_ms));
    if options.json {
        let all = json!({ "switchover": planned.json(), "powerCut": cut.json() });
        line(&serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}

/// What is done to the primary; when it was, and how long each step of both has taken.
type Strike = fn(&Site, u8, u8) -> Result<(Instant, BTreeMap<&'static str, f64>)>;

impl Runs {
    fn measure(
        &mut self,
        site: &Site,
        primary: &mut u8,
        number: usize,
        what: &str,
        strike: Strike,
    ) -> Result<()> {
        let (from, to) = (*primary, HOSTS + 1 - *primary);
        let load = site.load_with(&format!("run-{number}"), CLIENTS, EVERY, EVERY)?;
        load.wait_more(WRITES)?;
        let (at, steps) = strike(site, from, to)?;
        load.wait_more(WRITES)?;
        let figures = figures(&load, at, &steps)?;
        drop(load);
        site.wait_follows(from)?;
        let shown: Vec<String> =
            figures.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
        line(&format!("  {what} {number}: {}", shown.join(", ")));
        for (name, value) in figures {
            self.0.entry(name).or_default().push(value);
        }
        *primary = to;
        Ok(())
    }

    fn print(&self, title: &str) {
        let columns = [("ms", 34), ("p50", 9), ("p99", 9), ("smallest", 9), ("largest", 9)];
        let table = Table::begin(title, &columns);
        for (name, values) in &self.0 {
            let at = |per_mille| short(micros(values, per_mille));
            table.row([String::from(*name), at(500), at(990), at(0), at(1000)]);
        }
    }

    fn json(&self) -> Value {
        let all = self.0.iter().map(|(name, values)| (String::from(*name), json!(values)));
        Value::Object(all.collect::<Map<String, Value>>())
    }
}

/// A percentile of milliseconds.
fn micros(values: &[f64], per_mille: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let indexes: Vec<u64> = (0..sorted.len() as u64).collect();
    let index = usize::try_from(percentile(&indexes, per_mille)).unwrap_or_default();
    sorted.get(index).copied().unwrap_or_default()
}

/// The outage as the clients saw it, and what it is made of.
fn figures(
    load: &Load,
    at: Instant,
    steps: &BTreeMap<&'static str, f64>,
) -> Result<Vec<(&'static str, f64)>> {
    let (last, first) = load.outage(at)?;
    let outage = millis(first - last);
    // The sum of nothing is a zero with a sign.
    let of = |names: &[&str]| names.iter().filter_map(|name| steps.get(name)).sum::<f64>() + 0.0;
    let down = of(&["release_vip", "stop_backend", "flush"]);
    // Address and backend come side by side.
    let promotion = of(&["move_fence", "catch_up", "compare", "place", "start_capture"])
        + of(&["acquire_vip"]).max(of(&["start_backend"]));
    // Written by the one, written by the other.
    let lease = of(&["releaseMs", "leaseMs"]);
    Ok(vec![
        ("1 outage", outage),
        ("2 without backend stop and start", outage - of(&["stop_backend", "start_backend"])),
        ("3 virtual IP off", of(&["release_vip"])),
        ("4 backend stop", of(&["stop_backend"])),
        ("5 final flush", of(&["flush"])),
        ("6.1 detection", outage - down - lease - promotion),
        ("6.2 lease", lease),
        ("7 promotion", promotion),
        ("7.1 fence", of(&["move_fence"])),
        ("7.2 catch-up", of(&["catch_up"])),
        ("7.3 swap", of(&["compare", "place"])),
        ("7.4 capture", of(&["start_capture"])),
        ("7.5 virtual IP", of(&["acquire_vip"])),
        ("7.6 backend start", of(&["start_backend"])),
    ])
}

fn switch_over(site: &Site, from: u8, to: u8) -> Result<(Instant, BTreeMap<&'static str, f64>)> {
    let before = (scrape(site, from)?, scrape(site, to)?);
    let at = Instant::now();
    let name = site.host(to)?.name();
    site.host(from)?.done(&["ccm", "switchover", "--to", &name])?;
    site.wait_serves(to)?;
    let mut steps = grown(&before.1, &scrape(site, to)?, &UP);
    steps.extend(grown(&before.0, &scrape(site, from)?, &DOWN));
    let epoch = site.epoch(to)?;
    steps.extend(recorded(site, to, epoch, "taken", &["leaseMs"])?);
    steps.extend(recorded(site, from, epoch - 1, "given", &["releaseMs"])?);
    Ok((at, steps))
}

fn power_cut(site: &Site, from: u8, to: u8) -> Result<(Instant, BTreeMap<&'static str, f64>)> {
    let before = scrape(site, to)?;
    let at = Instant::now();
    site.host(from)?.cut()?;
    site.wait_serves(to)?;
    let mut steps = grown(&before, &scrape(site, to)?, &UP);
    steps.extend(recorded(site, to, site.epoch(to)?, "taken", &["leaseMs"])?);
    site.host(from)?.boot()?;
    Ok((at, steps))
}

/// How long these phases took by the history, in the leadership of this epoch on this host.
fn recorded(
    site: &Site,
    host: u8,
    epoch: u64,
    side: &str,
    phases: &[&'static str],
) -> Result<BTreeMap<&'static str, f64>> {
    let of = site.host(host)?;
    let ask = ["ccm", "history", "--json", "--node", &of.name()];
    let what = format!("how epoch {epoch} was {side}, in the history of {}", of.name());
    let details = ccm_lab::wait_for(RECORDED_WITHIN, &what, || {
        let all: Value = serde_json::from_str(&of.done(&ask).ok()?).ok()?;
        let fits = |event: &&Value| event["epoch"] == epoch && event["details"]["side"] == side;
        all["events"].as_array()?.iter().find(fits).map(|event| event["details"].clone())
    })?;
    let took = |name: &&'static str| Some((*name, details["phases"][*name].as_f64()?));
    Ok(phases.iter().filter_map(took).collect())
}

/// What a daemon has measured so far.
fn scrape(site: &Site, host: u8) -> Result<Exposition> {
    let at = SocketAddr::from((site.host(host)?.address(), METRICS_PORT));
    let answer = site.lab().client().get(at, "/metrics", Duration::from_secs(5));
    let (code, text) = answer.with_context(|| format!("no metrics of node-{host}"))?;
    ensure!(code == 200, "metrics of node-{host}: {code}");
    Ok(Exposition::prometheus(&text))
}

/// How long each step has taken between two scrapes, in milliseconds.
fn grown(
    before: &Exposition,
    after: &Exposition,
    phases: &[&'static str],
) -> BTreeMap<&'static str, f64> {
    let phase = |of: &Exposition, name: &str| {
        of.value("ccm_failover_phase_seconds_sum", &[("phase", name)]).unwrap_or_default()
    };
    let grown = |name: &&'static str| (*name, (phase(after, name) - phase(before, name)) * 1000.0);
    phases.iter().map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_milliseconds_are_values_that_were_measured() {
        let values: Vec<f64> = (0..30).rev().map(f64::from).collect();
        assert_eq!([0, 500, 990, 1000].map(|at| micros(&values, at)), [0.0, 15.0, 29.0, 29.0]);
        assert_eq!(micros(&[], 500), 0.0);
    }
}
