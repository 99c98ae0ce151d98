//! `ccm man`: a page for the program and one for each of its commands.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::exit::{Ended, Exit};

pub(crate) fn run(dir: &Path) -> Ended {
    let write = || {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(Cli::command(), dir)
    };
    write().with_context(|| format!("could not write the man pages to {}", dir.display()))?;
    Ok(Exit::Done)
}
