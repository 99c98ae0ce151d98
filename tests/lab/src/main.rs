//! `ccm-lab`: a lab by hand, and the first process of every host. `cargo xtask lab` builds and
//! runs it.

mod cli;
mod keep;
mod talk;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
