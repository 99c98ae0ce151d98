//! `cargo xtask ci`: exactly what the gate runs.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

/// One step of the gate.
type Step = fn() -> Result<()>;

/// Runs every step, in order, and says how long each took.
pub(crate) fn run() -> Result<()> {
    let steps: [(&str, Step); 6] = [
        ("test", test),
        ("sim", crate::sim::gate),
        ("fmt", fmt),
        ("clippy", clippy),
        ("doc", doc),
        ("tidy", crate::tidy::run),
    ];
    let mut took = Vec::new();
    for (name, step) in steps {
        println!("ci: {name}");
        let start = Instant::now();
        step().with_context(|| format!("step {name}"))?;
        took.push(format!("{name} {} s", start.elapsed().as_secs()));
    }
    println!("ci: passed ({})", took.join(", "));
    Ok(())
}

fn test() -> Result<()> {
    crate::test::run(&[])
}

fn fmt() -> Result<()> {
    crate::run(Command::new("cargo").args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let mut clippy = Command::new("cargo");
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    crate::run(&mut clippy)
}

fn doc() -> Result<()> {
    let mut doc = Command::new("cargo");
    doc.args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    crate::run(&mut doc)
}
