//! The verbs.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use ccm_lab::init::Init;
use clap::{Args, Parser, Subcommand};

use crate::keep::{self, Keep};
use crate::talk::{self, Answer, Request, Verb};

/// Hosts with a real systemd, a switch and a client, on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask lab",
    bin_name = "cargo xtask lab",
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Which lab, where there are several
    #[arg(long, global = true, default_value = "lab")]
    name: String,
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the hosts and boot them; they stay until `down`
    Up(Up),
    /// Whether each host is on, and what its systemd says
    Status,
    /// A shell on a host
    Shell(On),
    /// Run a command on a host
    Exec {
        #[command(flatten)]
        on: On,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run a command where the client is: it knows only the virtual IP
    Client {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Cut the power: every process is gone at once
    Cut(On),
    /// Switch a host on
    Boot(On),
    /// Power off in order
    Poweroff(On),
    /// Stop every process where it stands; the kernel still answers
    Freeze(On),
    /// Let them go on
    Thaw(On),
    /// Pull the cable: the host loses its carrier
    Unplug(On),
    /// Put the cable back
    Plug(On),
    /// Nothing passes in either direction, the carrier stays
    Silence(On),
    /// Nobody hears the host, it hears everybody
    Mute(On),
    /// The host hears nobody, everybody hears it
    Deafen(On),
    /// It and other isolated hosts do not hear each other, everybody else hears them
    Isolate(On),
    /// End `silence`, `mute`, `deafen` and `isolate`
    Heal(On),
    /// Move the host to a second switch, where islanders are among themselves
    Island(On),
    /// And back
    Mainland(On),
    /// What a host's first process has printed, and how it ended last
    Console(On),
    /// Remove everything
    Down,
    /// Hold a lab until it is told to go down
    #[command(hide = true)]
    Keep(Keep),
    /// Become the first process of a host
    #[command(hide = true)]
    Init(InitArgs),
}

#[derive(Debug, Args)]
struct Up {
    /// How many hosts
    #[arg(long, default_value_t = 3)]
    hosts: u8,
    /// Only the hosts; else ccm is deployed on them, with a NATS server beside them
    #[arg(long)]
    bare: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct On {
    /// The number of the host, 1 for the first
    host: u8,
}

#[derive(Debug, Args)]
struct InitArgs {
    #[arg(long)]
    root: PathBuf,
    #[arg(long)]
    hostname: String,
    #[arg(long)]
    cgroup: PathBuf,
}

pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let name = &cli.name;
    let ask = |verb, On { host }: On| said(name, &Request { verb, host });
    match cli.command {
        Action::Up(Up { hosts, bare }) => {
            keep::up(name, hosts, bare)?;
            said(name, &Request { verb: Verb::Status, host: 0 })
        }
        Action::Status => said(name, &Request { verb: Verb::Status, host: 0 }),
        Action::Down => said(name, &Request { verb: Verb::Down, host: 0 }),
        Action::Shell(on) => enter(name, Verb::Enter, on.host, &[String::from("bash")]),
        Action::Exec { on, command } => enter(name, Verb::Enter, on.host, &command),
        Action::Client { command } => enter(name, Verb::EnterClient, 0, &command),
        Action::Cut(on) => ask(Verb::Cut, on),
        Action::Boot(on) => ask(Verb::Boot, on),
        Action::Poweroff(on) => ask(Verb::Poweroff, on),
        Action::Freeze(on) => ask(Verb::Freeze, on),
        Action::Thaw(on) => ask(Verb::Thaw, on),
        Action::Unplug(on) => ask(Verb::Unplug, on),
        Action::Plug(on) => ask(Verb::Plug, on),
        Action::Silence(on) => ask(Verb::Silence, on),
        Action::Mute(on) => ask(Verb::Mute, on),
        Action::Deafen(on) => ask(Verb::Deafen, on),
        Action::Isolate(on) => ask(Verb::Isolate, on),
        Action::Heal(on) => ask(Verb::Heal, on),
        Action::Island(on) => ask(Verb::Island, on),
        Action::Mainland(on) => ask(Verb::Mainland, on),
        Action::Console(on) => ask(Verb::Console, on),
        Action::Keep(keep) => keep::run(name, &keep).map(|()| ExitCode::SUCCESS),
        Action::Init(InitArgs { root, hostname, cgroup }) => {
            Init { root, name: hostname, cgroup }.become_systemd().map(|()| ExitCode::SUCCESS)
        }
    }
}

/// Asks the keeper and prints what it says.
fn said(name: &str, request: &Request) -> Result<ExitCode> {
    let Answer { text, .. } = talk::ask(name, request)?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// Runs a command where the keeper says; the exit code is the command's.
fn enter(name: &str, verb: Verb, host: u8, command: &[String]) -> Result<ExitCode> {
    let Answer { entry, .. } = talk::ask(name, &Request { verb, host })?;
    let (program, arguments) = entry.split_first().context("the lab has not said how to enter")?;
    let status = Command::new(program).args(arguments).args(command).status();
    let status = status.with_context(|| format!("could not start {program}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
