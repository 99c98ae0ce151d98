//! ccm-dist: what is installed on hosts.
//!
//! [`program`] builds ccm, or takes one that was built; [`contents`] is the one table of what goes
//! where; [`deb`], [`rpm`] and [`tarball`] write it down, each in its format. Nothing in them
//! depends on the machine, the user or the time: the same input gives the same bytes.

mod archive;
mod checksums;
mod contents;
mod deb;
mod elf;
mod entry;
mod generated;
mod notices;
mod program;
mod release;
mod rpm;
mod scripts;
mod tarball;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use program::Libc;
use release::Release;

/// Make what is installed: a .deb, a .rpm and a tarball, with SHA256SUMS.
///
/// SOURCE_DATE_EPOCH is the time of everything in them, else the time of the last commit.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask dist")]
struct Cli {
    /// Where they go
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    output: PathBuf,
    /// What to make [default: all of them]
    #[arg(long, value_enum, value_delimiter = ',')]
    format: Vec<Format>,
    /// The revision of the package: raise it when the same version is packaged again
    #[arg(long, value_name = "N", default_value_t = 1)]
    revision: u32,
    /// Link statically, or against the system's C library [default: musl where it can be had]
    #[arg(long, value_enum)]
    libc: Option<Libc>,
    /// Package this ccm, which is built already
    #[arg(long, value_name = "FILE", conflicts_with = "libc")]
    ccm: Option<PathBuf>,
    /// Compress less, which takes less time
    #[arg(long)]
    fast: bool,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Deb,
    Rpm,
    Tar,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let built = program::find(cli.ccm.as_deref(), cli.libc)?;
    let release = Release::new(&built, cli.revision, cli.fast)?;
    let output = root().join(&cli.output);
    std::fs::create_dir_all(&output)
        .with_context(|| format!("could not create {}", output.display()))?;
    let wanted = |format| cli.format.is_empty() || cli.format.contains(&format);
    let contents = contents::gather(&built, &release)?;
    let mut made = Vec::new();
    if wanted(Format::Deb) {
        made.push(write(&output, &release.deb_name(), &deb::make(&release, &contents)?)?);
    }
    if wanted(Format::Rpm) {
        made.push(write(&output, &release.rpm_name(), &rpm::make(&release, &contents)?)?);
    }
    if wanted(Format::Tar) {
        made.push(write(&output, &release.tar_name(), &tarball::make(&release, &contents)?)?);
    }
    write(&output, "SHA256SUMS", checksums::sha256(&made).as_bytes())?;
    Ok(())
}

/// Writes a file and says so: its name and its bytes.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(String, Vec<u8>)> {
    let path = dir.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("could not write {}", path.display()))?;
    println!("dist: {} ({} KiB)", path.display(), bytes.len().div_ceil(1024));
    Ok((String::from(name), bytes.to_vec()))
}

/// The root of the checkout.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}
