//! A guard of a process backend by itself: `ccm-guard --socket PATH [--log PATH]`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ccm_guard::{GuardConfig, ProcessTarget, serve};

const USAGE: &str = "usage: ccm-guard --socket PATH [--log PATH] [--idle-exit-ms N]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ccm-guard: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut socket, mut log, mut idle_exit) = (None, None, None);
    let mut args = std::env::args_os().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match flag.to_str() {
            Some("--socket") => socket = Some(PathBuf::from(value)),
            Some("--log") => log = Some(PathBuf::from(value)),
            Some("--idle-exit-ms") => {
                let millis = value.to_str().and_then(|text| text.parse().ok()).ok_or(USAGE)?;
                idle_exit = Some(Duration::from_millis(millis));
            }
            Some(_) | None => return Err(USAGE.into()),
        }
    }
    let mut config = GuardConfig::new(socket.ok_or(USAGE)?);
    config.idle_exit = idle_exit.unwrap_or(config.idle_exit);
    Ok(serve(config, ProcessTarget::new(log))?)
}
