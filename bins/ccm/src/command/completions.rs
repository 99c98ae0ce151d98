//! `ccm completions`.

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::exit::{Ended, Exit};
use crate::print;

pub(crate) fn run(shell: Shell, name: &str) -> Ended {
    let mut script = Vec::new();
    generate(shell, &mut shown(&Cli::command()), name, &mut script);
    print::text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// The command line without what is hidden, which shells would offer all the same.
fn shown(all: &Command) -> Command {
    let commands = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let shown = Command::new("ccm").version(env!("CARGO_PKG_VERSION"));
    shown.args(all.get_arguments().cloned()).subcommands(commands)
}
