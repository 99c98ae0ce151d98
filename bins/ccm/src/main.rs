//! ccm: parse, load the configuration, wire, print.

mod bucket;
mod cli;
mod cluster;
mod command;
mod config;
mod daemons;
mod exit;
mod fetching;
mod leader;
mod logging;
mod moving;
mod nodes;
mod print;
mod progress;
mod table;
mod words;

use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;

use exit::Exit;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors that belong on standard output.
            error.print().ok();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let as_json = cli.shared.json;
    match command::run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let words = format!("{:#}", failure.error);
            if as_json {
                let code = failure.exit as u8;
                print::json(&json!({ "ok": false, "exitCode": code, "error": words })).ok();
            }
            print::error(&format!("error: {words}"));
            failure.exit.into()
        }
    }
}
