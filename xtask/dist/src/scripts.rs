//! The scripts of the packages: what each does, behind the functions that they share.

use std::path::Path;

use anyhow::{Context, Result};

/// Where they are in the tree.
const FOLDER: &str = "deploy/packages";
/// The functions.
const SHARED: &str = "functions.sh";

/// One that dpkg runs.
pub(crate) fn deb(name: &str) -> Result<String> {
    let body = read(&Path::new("deb").join(name))?;
    Ok(format!("#!/bin/sh\nset -eu\n{}{body}", functions()?))
}

/// One that rpm runs, with its own shell.
pub(crate) fn rpm(name: &str) -> Result<String> {
    let body = read(&Path::new("rpm").join(name))?;
    Ok(format!("set -eu\n{}{body}", functions()?))
}

fn functions() -> Result<String> {
    read(Path::new(SHARED))
}

fn read(name: &Path) -> Result<String> {
    let path = crate::root().join(FOLDER).join(name);
    std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
}
