//! The commands of this repository: `cargo xtask <command>`.

mod bench;
mod ci;
mod demo;
mod dist;
mod docs;
mod lab;
mod setup;
mod sim;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// The commands of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Cli {
    /// Install what the tests run against: servers into `.tools/bin`, packages of the system.
    Setup,
    /// A cluster on this machine loses its primary and gets it back, live in the terminal.
    Demo(demo::DemoArgs),
    /// Set up, build, then run every test; further arguments go to `cargo test`.
    Test {
        /// For `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Simulated clusters under faults, on fresh seeds: --time 30s, --nodes N; one again: --seed N
    /// or --replay FILE.
    Sim {
        /// For the simulation; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure: `bench replication` or `bench restore`, ccm and the real Litestream in turn;
    /// `bench outage`, what clients see of a move and of a power cut.
    Bench {
        /// For the benchmark; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Make what is installed: a .deb, a .rpm and a tarball with their checksums.
    Dist {
        /// For `ccm-dist`; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Hosts with a real systemd, a switch and a client, on this machine: `lab up`, `lab shell 1`,
    /// `lab cut 1`, `lab down`; `lab help` lists everything that can happen to a host.
    Lab {
        /// For the lab; `help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Write the pages under docs/ that come from the code.
    Docs,
    /// Check layers, manifests, sizes, names, words and generated pages.
    Tidy,
    /// Everything the gate runs: test, format, clippy, docs, tidy.
    Ci,
}

/// What a shell reports for Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli::Setup => setup::run().map(|_| ()),
        Cli::Demo(args) => demo::run(&args),
        Cli::Test { args } => test::run(&args),
        Cli::Sim { args } => sim::run(&args),
        Cli::Bench { args } => bench::run(&args),
        Cli::Dist { args } => dist::run(&args),
        Cli::Lab { args } => match lab::run(&args) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Cli::Docs => docs::run(),
        Cli::Tidy => tidy::run(),
        Cli::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<demo::Interrupted>() => {
            eprintln!("{error}");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the checkout.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}

/// Runs a command in the checkout and fails with its own words.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status =
        command.current_dir(root()).status().with_context(|| format!("could not start {shown}"))?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}
