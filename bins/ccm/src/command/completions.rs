//! `ccm completions`.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::exit::{Ended, Exit};
use crate::print;

pub(crate) fn run(shell: Shell, name: &str) -> Ended {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), name, &mut script);
    print::text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
