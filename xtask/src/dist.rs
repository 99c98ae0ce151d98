//! `cargo xtask dist`: what is installed on hosts.

use std::process::Command;

use anyhow::Result;

/// Builds `ccm-dist` and hands it `args`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut dist = Command::new("cargo");
    dist.args(["run", "--quiet", "--package", "ccm-dist", "--"]).args(args);
    crate::run(&mut dist)
}
