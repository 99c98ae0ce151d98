//! `cargo xtask sim`: runs fresh seeds, or one again, and shows what fails.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use ccm_sim::{Mutant, Scenario, Violation, run, shrink};
use clap::Parser;

/// Runs simulated clusters until one breaks a promise, or the time is over.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim")]
struct Arguments {
    /// Run this seed only, and show its log.
    #[arg(long)]
    seed: Option<u64>,
    /// How long to run fresh seeds, for example 30s, 10m or 2h.
    #[arg(long, default_value = "30s", value_parser = duration)]
    time: Duration,
    /// How many nodes; 2 to 5 by chance without it.
    #[arg(long)]
    nodes: Option<usize>,
    /// Run this scenario and show its log.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Run a broken variant.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// The first of the fresh seeds; by the clock without it.
    #[arg(long)]
    from: Option<u64>,
    /// Go on after a failure, and list all of them at the end.
    #[arg(long)]
    all: bool,
}

fn duration(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let number: u64 = number.parse().with_context(|| format!("'{text}' is no time"))?;
    let seconds = match unit {
        "s" | "" => number,
        "m" => number * 60,
        "h" => number * 3600,
        other => anyhow::bail!("'{other}' is neither s, m nor h"),
    };
    Ok(Duration::from_secs(seconds))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match work(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<bool> {
    if let Some(path) = &arguments.replay {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let scenario = text.parse().with_context(|| format!("in {}", path.display()))?;
        return Ok(show(&scenario, arguments));
    }
    if let Some(seed) = arguments.seed {
        return Ok(show(&Scenario::of_seed(seed, arguments.nodes), arguments));
    }
    explore(arguments)
}

/// Runs one scenario with its log.
fn show(scenario: &Scenario, arguments: &Arguments) -> bool {
    let report = run(scenario, arguments.mutant, true);
    let end = match &report.violation {
        Some(found) => format!("{} does not hold: {}", found.property, found.words),
        None => {
            format!("everything held: {} events, {} leaderships", report.events, report.wins)
        }
    };
    let text = format!("{scenario}{}\n\n{end}\n", report.trace.join("\n"));
    // A reader like `head` may have seen enough.
    std::io::stdout().write_all(text.as_bytes()).ok();
    report.violation.is_none()
}

/// What the threads share.
struct Shared {
    next: AtomicU64,
    runs: AtomicU64,
    events: AtomicU64,
    wins: AtomicU64,
    stop: AtomicBool,
    failed: Mutex<Vec<(u64, Violation)>>,
}

fn explore(arguments: &Arguments) -> Result<bool> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let first = arguments.from.unwrap_or(u64::try_from(clock).unwrap_or(0));
    let shared = Shared {
        next: AtomicU64::new(first),
        runs: AtomicU64::new(0),
        events: AtomicU64::new(0),
        wins: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        failed: Mutex::new(Vec::new()),
    };
    let begun = Instant::now();
    let until = begun + arguments.time;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| look(&shared, arguments, until));
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let runs = shared.runs.into_inner();
    let (events, wins) = (shared.events.into_inner(), shared.wins.into_inner());
    println!(
        "{runs} runs from seed {first} in {seconds:.1} s ({:.0} runs/s), {events} events, \
         {wins} leaderships",
        runs as f64 / seconds
    );
    let failed = shared.failed.into_inner().unwrap_or_default();
    let Some((seed, _)) = failed.first().cloned() else {
        println!("everything held");
        return Ok(true);
    };
    if arguments.all {
        for (seed, Violation { property, words, .. }) in &failed {
            println!("seed {seed}: {property}: {words}");
        }
        return Ok(false);
    }
    report(&Scenario::of_seed(seed, arguments.nodes), arguments)?;
    Ok(false)
}

/// Runs seed after seed until one fails.
fn look(shared: &Shared, arguments: &Arguments, until: Instant) {
    while !shared.stop.load(Ordering::Relaxed) && Instant::now() < until {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        let scenario = Scenario::of_seed(seed, arguments.nodes);
        let report = run(&scenario, arguments.mutant, false);
        shared.runs.fetch_add(1, Ordering::Relaxed);
        shared.events.fetch_add(report.events, Ordering::Relaxed);
        shared.wins.fetch_add(report.wins, Ordering::Relaxed);
        if let Some(violation) = report.violation {
            shared.stop.store(!arguments.all, Ordering::Relaxed);
            if let Ok(mut failed) = shared.failed.lock() {
                failed.push((seed, violation));
            }
        }
    }
}

/// Shows a failure as small as it can be made, and how to see it again.
fn report(scenario: &Scenario, arguments: &Arguments) -> Result<()> {
    let smaller = shrink(scenario, arguments.mutant);
    show(&smaller, arguments);
    let path = std::env::temp_dir().join(format!("ccm-sim-{}.txt", scenario.seed));
    std::fs::write(&path, smaller.to_string())
        .with_context(|| format!("could not write {}", path.display()))?;
    let (before, after) = (scenario.faults.len(), smaller.faults.len());
    let nodes = arguments.nodes.map_or(String::new(), |nodes| format!(" --nodes {nodes}"));
    println!("\nseed {}, shrunk from {before} faults to {after}", scenario.seed);
    println!("see it again:     cargo xtask sim --replay {}", path.display());
    println!("as it was found:  cargo xtask sim --seed {}{nodes}", scenario.seed);
    println!(
        "keep it:          move it to tests/sim/regressions, say in its first line what it is"
    );
    Ok(())
}
