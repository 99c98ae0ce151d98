//! `cargo xtask test`: set up, build the programs, then every test.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

/// Runs `cargo test`, for the workspace unless `args` name a package, with the real servers and
/// our own programs at hand.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let tools = crate::setup::run()?;
    println!("test: building the programs that the tests run");
    crate::run(Command::new("cargo").args(["build", "--workspace", "--bins"]))?;
    let start = Instant::now();
    let mut test = Command::new("cargo");
    test.arg("test");
    let one = args.iter().take_while(|arg| *arg != "--").any(|arg| arg.starts_with("-p"));
    if one {
        println!("test: running the tests");
    } else {
        println!("test: running every test; the end-to-end tests take some minutes");
        test.arg("--workspace");
    }
    test.args(args);
    test.env("CCM_NATS_SERVER", tools.nats_server);
    test.env("CCM_LITESTREAM", tools.litestream);
    test.env("CCM_LITESTREAM_VFS", tools.litestream_vfs);
    test.env("CCM_BIN_DIR", ccm_harness::bin_dir());
    crate::run(&mut test)?;
    println!("test: passed in {} s", start.elapsed().as_secs());
    Ok(())
}
