//! `cargo xtask sim`: simulated clusters under faults, on the real machines.

use std::process::Command;

use anyhow::Result;

/// How long the gate runs fresh seeds.
const IN_THE_GATE: &str = "30s";

/// Builds the simulation and hands it `args`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut sim = Command::new("cargo");
    sim.args(["run", "--quiet", "--package", "ccm-sim", "--bin", "ccm-sim", "--"]).args(args);
    crate::run(&mut sim)
}

/// Fresh seeds for a while; the regressions are tests.
pub(crate) fn gate() -> Result<()> {
    run(&[String::from("--time"), String::from(IN_THE_GATE)])
}
