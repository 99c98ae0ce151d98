//! `cargo xtask lab`: hosts with a real systemd, a switch and a client, by hand.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// Hands the words to `ccm-lab`; the exit code is that of the command that was run on a host.
///
/// Only `up` builds: what the hosts run stays as it was when they were made.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let program = ccm_harness::bin_dir().join("ccm-lab");
    let up = args.iter().any(|arg| arg == "up");
    let mut lab = Command::new(&program);
    if up || !program.exists() {
        let tools = crate::setup::nats_server()?;
        println!("lab: building the programs that the hosts run");
        let programs = ["-p", "ccm-lab", "-p", "ccm", "-p", "demo-backend"];
        crate::run(Command::new("cargo").args(["build", "--quiet"]).args(programs))?;
        lab.env("CCM_NATS_SERVER", tools);
    }
    lab.args(args).env("CCM_BIN_DIR", ccm_harness::bin_dir());
    let status = lab.status().with_context(|| format!("could not start {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
