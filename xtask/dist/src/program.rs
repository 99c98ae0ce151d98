//! The program that is packaged: built here, or given.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::Value;

use crate::root;

/// The profile that it is built with.
const PROFILE: &str = "dist";
/// The compiler of C for the static program, and its package.
const MUSL_GCC: &str = "musl-gcc";
const MUSL_PACKAGE: &str = "musl-tools";

/// The C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Libc {
    /// In the program, which then runs on any Linux.
    Musl,
    /// The system's, of the version of the machine that builds or a later one.
    Glibc,
}

impl Libc {
    fn target(self) -> String {
        let libc = match self {
            Self::Musl => "musl",
            Self::Glibc => "gnu",
        };
        format!("{}-unknown-linux-{libc}", std::env::consts::ARCH)
    }
}

/// A program that can be run here.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// As it says itself.
    pub(crate) version: String,
}

/// The program that was given, else builds one.
pub(crate) fn find(given: Option<&Path>, libc: Option<Libc>) -> Result<Built> {
    let path = match given {
        Some(path) => path.to_path_buf(),
        None => build(choose(libc)?)?,
    };
    let bytes =
        std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    let said = ask(&path, &["version", "--json"])?;
    let said: Value = serde_json::from_slice(&said)?;
    let version = said["version"].as_str().context("ccm version --json names no version")?;
    Ok(Built { version: String::from(version), path, bytes })
}

/// What the program prints.
pub(crate) fn ask(program: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let shown = format!("{} {}", program.display(), args.join(" "));
    let mut asked = Command::new(program);
    asked.args(args).stdin(Stdio::null()).stderr(Stdio::inherit());
    let said = asked.output().with_context(|| format!("could not run {shown}"))?;
    ensure!(said.status.success(), "{shown} ended with {}", said.status);
    Ok(said.stdout)
}

/// Static, unless this machine cannot, which is said; what was asked for by name is not changed.
fn choose(wanted: Option<Libc>) -> Result<Libc> {
    match wanted {
        Some(Libc::Glibc) => Ok(Libc::Glibc),
        Some(Libc::Musl) => prepare_musl().map(|()| Libc::Musl),
        None => match prepare_musl() {
            Ok(()) => Ok(Libc::Musl),
            Err(why) => {
                println!(
                    "dist: not static: {why:#}\n\
                     dist: linked against the C library of this machine instead: the packages \
                     name its version, and older systems refuse them"
                );
                Ok(Libc::Glibc)
            }
        },
    }
}

/// The target of rustc and the compiler of C, installed where they are missing.
fn prepare_musl() -> Result<()> {
    let target = Libc::Musl.target();
    let add = ["target", "add", &target];
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "list", "--installed"]).current_dir(root());
    let installed = rustup.output().context("there is no rustup to add the target musl with")?;
    let listed = String::from_utf8_lossy(&installed.stdout).into_owned();
    if !listed.lines().any(|line| line == target) {
        println!("dist: rustup {}", add.join(" "));
        run(Command::new("rustup").args(add))?;
    }
    if Command::new(MUSL_GCC).arg("--version").output().is_ok() {
        return Ok(());
    }
    println!("dist: apt-get install {MUSL_PACKAGE}");
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(args);
        run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // A fresh machine has no lists of packages yet.
    apt(&["update"])
        .and_then(|()| apt(&["install", "--yes", "--no-install-recommends", MUSL_PACKAGE]))
        .with_context(|| format!("{MUSL_GCC} is needed: install {MUSL_PACKAGE}"))
}

/// Builds with the paths of this machine taken out.
fn build(libc: Libc) -> Result<PathBuf> {
    let target = libc.target();
    println!("dist: building ccm for {target}, which takes minutes");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=/ccm", root().display())];
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=/cargo", home.display())));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--package", "ccm", "--bin", "ccm", "--profile", PROFILE]);
    cargo.args(["--target", &target, "--message-format", "json-render-diagnostics"]);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    if libc == Libc::Musl {
        cargo.env(format!("CC_{}", target.replace('-', "_")), MUSL_GCC);
    }
    cargo.current_dir(root()).stderr(Stdio::inherit());
    let built = cargo.output().context("could not run cargo")?;
    ensure!(built.status.success(), "cargo build ended with {}", built.status);
    let messages = String::from_utf8(built.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut program =
        messages.filter_map(|message| Some(message["executable"].as_str()?.to_owned()));
    program.next_back().map(PathBuf::from).context("cargo build names no program")
}

/// Runs a command and fails with its own words.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.current_dir(root()).status();
    let status = status.with_context(|| format!("could not start {shown}"))?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}
