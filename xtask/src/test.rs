//! `cargo xtask test`: set up, then every test.

use std::process::Command;

use anyhow::Result;

/// Runs `cargo test` for the workspace with the real servers at hand.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let bin = crate::setup::run()?;
    let mut test = Command::new("cargo");
    test.args(["test", "--workspace"]).args(args);
    test.env("CCM_NATS_SERVER", bin.join("nats-server"));
    test.env("CCM_LITESTREAM", bin.join("litestream"));
    crate::run(&mut test)
}
