//! What replication costs and how fast it is: ccm's crates and the real Litestream, measured in
//! turn in one run against the same real nats-server. `cargo xtask bench` builds and runs it.
//!
//! Nothing here judges: it measures, and says with which spread.

mod child;
mod clock;
mod coverage;
mod database;
mod failover;
mod figures;
mod numbers;
mod observer;
mod process;
mod scenario;
mod servers;
mod system;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser};
use scenario::{Effort, Scenario};
use serde_json::json;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
enum Command {
    /// Latency, throughput, outage, size of the bucket, idle daemon.
    Replication(Options),
    /// Restore, snapshot, promotion.
    Restore(Options),
    /// A planned move and a power cut on real hosts, as clients see them through the virtual IP.
    Outage(failover::FailoverOptions),
    /// A part of a measurement, started by it.
    #[command(hide = true, subcommand)]
    Child(child::Child),
}

#[derive(Debug, Args)]
struct Options {
    /// Only this scenario; can be given several times.
    #[arg(long)]
    only: Vec<Scenario>,
    /// A short run that shows that everything works; its numbers say little.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured, in turn [3, with --quick 1].
    #[arg(long)]
    rounds: Option<usize>,
    /// The length of the outage in seconds [60, with --quick 3].
    #[arg(long)]
    outage: Option<u64>,
    /// Everything that was measured as JSON, after the tables.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match work(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Children are bound to the thread that starts them: scenarios run on this one.
fn work(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Replication(options) => runtime.block_on(bench(&Scenario::REPLICATION, &options)),
        Command::Restore(options) => runtime.block_on(bench(&Scenario::RESTORE, &options)),
        Command::Outage(options) => failover::run(&options),
        Command::Child(child) => runtime.block_on(child::run(child)),
    }
}

async fn bench(all: &[Scenario], options: &Options) -> Result<()> {
    let effort = Effort {
        quick: options.quick,
        rounds: options.rounds.unwrap_or(if options.quick { 1 } else { 3 }),
        outage: Duration::from_secs(options.outage.unwrap_or(if options.quick { 3 } else { 60 })),
    };
    machine().await?;
    let scenarios = if options.only.is_empty() { all } else { &options.only };
    let mut measured = Vec::new();
    for scenario in scenarios {
        let figures = scenario.run(effort).await?;
        figures.print();
        measured.push(figures.json());
    }
    if options.json {
        table::line(&serde_json::to_string_pretty(&json!({ "scenarios": measured }))?);
    }
    Ok(())
}

/// Prints what this runs on.
async fn machine() -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory =
        memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    let memory: u64 = memory.unwrap_or(0);
    let nats = servers::Servers::single().version().await?;
    let litestream = std::process::Command::new(ccm_harness::litestream()).arg("version").output();
    let litestream = litestream.map(|output| output.stdout).unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    table::line(&format!(
        "{cores} cores, {} MB of memory, load {}; nats-server {nats}, Litestream {}, SQLite {}",
        memory / 1000,
        load.split(' ').next().unwrap_or("unknown"),
        String::from_utf8_lossy(&litestream).trim(),
        rusqlite::version(),
    ));
    Ok(())
}
