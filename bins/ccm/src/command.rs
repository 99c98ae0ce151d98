//! The commands, one file each.

mod init;
mod version;

use crate::cli::{Cli, Command};
use crate::exit::Ended;

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli) -> Ended {
    match cli.command {
        Command::Init(init) => init::run(&init, &cli.shared),
        Command::Version => version::run(&cli.shared),
    }
}
