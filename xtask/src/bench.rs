//! `cargo xtask bench`: builds the programs as they are delivered, then measures them.

use std::process::Command;

use anyhow::Result;

/// Runs `ccm-bench` with the real servers and our own programs at hand.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let tools = crate::setup::run()?;
    println!("bench: building with --release");
    let programs = ["-p", "ccm-bench", "-p", "ccm-lab", "-p", "ccm", "-p", "demo-backend"];
    crate::run(Command::new("cargo").args(["build", "--quiet", "--release"]).args(programs))?;
    let release = ccm_harness::bin_dir().with_file_name("release");
    let mut bench = Command::new(release.join("ccm-bench"));
    bench.args(args);
    bench.env("CCM_NATS_SERVER", tools.nats_server);
    bench.env("CCM_LITESTREAM", tools.litestream);
    bench.env("CCM_BIN_DIR", release);
    crate::run(&mut bench)
}
