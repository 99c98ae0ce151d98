//! The commands, one file each.

mod check;
mod completions;
mod daemon;
mod demote;
mod diverged;
mod guard;
mod history;
mod init;
mod join;
mod leave;
mod ltx;
mod man;
mod promote;
mod restore;
mod services;
mod snapshot;
mod status;
mod switchover;
mod verify;
mod version;
mod vip;
mod watch;

use anyhow::Context as _;

use crate::cli::{Cli, Command};
use crate::exit::Ended;

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli) -> Ended {
    let shared = &cli.shared;
    match cli.command {
        Command::Init(init) => init::run(&init, shared),
        Command::Check => check::run(shared),
        Command::Join => wait_for(join::run(shared)),
        Command::Daemon(daemon) => daemon::run(&daemon, shared),
        Command::Status => wait_for(status::run(shared)),
        Command::Watch => wait_for(watch::run(shared)),
        Command::Promote => wait_for(promote::run(shared)),
        Command::Demote => wait_for(demote::run(shared)),
        Command::Switchover { to } => wait_for(switchover::run(shared, &to)),
        Command::Leave => wait_for(leave::run(shared)),
        Command::Vip { command } => wait_for(vip::run(shared, command)),
        Command::Services(asked) => wait_for(services::run(shared, &asked)),
        Command::History(asked) => wait_for(history::run(shared, &asked)),
        Command::Guard(guard) => guard::run(&guard, shared),
        Command::Restore(restore) => wait_for(restore::run(shared, &restore)),
        Command::Snapshot { timeout } => wait_for(snapshot::run(shared, &timeout)),
        Command::Ltx(ltx) => wait_for(ltx::run(shared, &ltx)),
        Command::Verify { no_check } => wait_for(verify::run(shared, !no_check)),
        Command::Diverged(diverged) => wait_for(diverged::run(shared, &diverged)),
        Command::Completions { shell, name } => completions::run(shell, &name),
        Command::Man { dir } => man::run(&dir),
        Command::Version => version::run(shared),
    }
}

/// Runs a command that asks others.
fn wait_for(command: impl Future<Output = Ended>) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    let ended = runtime.block_on(command);
    // What a command has given up waiting for does not hold up its end.
    runtime.shutdown_background();
    ended
}
