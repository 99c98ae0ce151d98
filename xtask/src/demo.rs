//! `cargo xtask demo`: a cluster loses its primary and gets it back, live in the terminal.

mod stage;
mod story;
mod summary;
mod view;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::stage::Stage;

/// What the operator chooses.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Lease of the primary, such as 10s or 2500ms; a third of it is the heartbeat.
    #[arg(long, default_value = "10s", value_parser = parse_ttl)]
    ttl: Duration,
    /// How many nodes.
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u8).range(2..=7))]
    nodes: u8,
    /// Stay up afterwards, under load, and say what to try, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// The shortest lease that leaves room for stopping a backend.
const TTL_MIN: Duration = Duration::from_secs(1);

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let millis = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    let ttl = millis.map(Duration::from_millis).ok_or_else(|| String::from("try 10s or 2500ms"))?;
    if ttl < TTL_MIN { Err(format!("at least {TTL_MIN:?}")) } else { Ok(ttl) }
}

/// Ctrl-C: not a failure of anything.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; everything is stopped and removed")
    }
}

impl std::error::Error for Interrupted {}

/// Runs the demo; fails when a promise did not hold.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in
        [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
    {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context("could not watch for signals")?;
    }
    let outcome = play(args, &interrupted);
    if interrupted.load(Ordering::Relaxed) {
        // Whatever failed, failed because we were told to stop.
        return Err(Interrupted.into());
    }
    outcome
}

fn play(args: &DemoArgs, interrupted: &Arc<AtomicBool>) -> Result<()> {
    println!("demo: looking for a nats-server of 2.12 or later");
    let nats = crate::setup::nats_server()?;
    println!("demo: using {}", nats.display());
    if std::env::var_os("CCM_BIN_DIR").is_none() {
        println!("demo: building ccm and demo-backend (some minutes the first time, then nothing)");
        crate::run(Command::new("cargo").args(["build", "-p", "ccm", "-p", "demo-backend"]))?;
    }
    println!("demo: starting NATS and {} nodes", args.nodes);
    let mut stage = Stage::open(args.ttl, usize::from(args.nodes), Arc::clone(interrupted))?;
    let result = story::tell(&mut stage)?;
    let (text, held) = summary::write(&result);
    stage.close_view();
    println!("\n{text}");
    if args.keep {
        println!("{}", stage.what_to_try());
        stage.keep()?;
    }
    if !held {
        bail!("a promise did not hold: see the summary");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_read_in_seconds_or_milliseconds() {
        assert_eq!(parse_ttl("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_ttl("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_ttl("2500ms"), Ok(Duration::from_millis(2500)));
        assert!(parse_ttl("0s").is_err());
        assert!(parse_ttl("soon").is_err());
    }
}
