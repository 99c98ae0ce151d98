//! Where the real peers are, and children that cannot outlive the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let own = root.join(".tools/bin").join(name);
    if own.exists() {
        return own;
    }
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join(name))
        .find(|path| path.exists());
    on_path.unwrap_or_else(|| panic!("no {name}: run `cargo xtask setup`, or set {variable}"))
}

/// The `nats-server` binary: `$CCM_NATS_SERVER`, else what `cargo xtask setup` installed, else
/// the one on PATH.
#[must_use]
pub fn nats_server() -> PathBuf {
    find("CCM_NATS_SERVER", "nats-server")
}

/// The `litestream` binary: `$CCM_LITESTREAM`, else what `cargo xtask setup` installed, else PATH.
#[must_use]
pub fn litestream() -> PathBuf {
    find("CCM_LITESTREAM", "litestream")
}

/// Litestream's SQLite extension, without the `.so`: `$CCM_LITESTREAM_VFS`, else what `cargo xtask
/// setup` installed, else PATH.
#[must_use]
pub fn litestream_vfs() -> PathBuf {
    find("CCM_LITESTREAM_VFS", "litestream-vfs.so").with_extension("")
}

/// The `prometheus` binary: `$CCM_PROMETHEUS`, else what `cargo xtask setup` installed, else PATH.
#[must_use]
pub fn prometheus() -> PathBuf {
    find("CCM_PROMETHEUS", "prometheus")
}

/// The `promtool` binary, which comes with [`prometheus`].
#[must_use]
pub fn promtool() -> PathBuf {
    prometheus().with_file_name("promtool")
}

/// A Chromium: `$CCM_CHROMIUM`, else the one without a window, else the one with windows.
pub(crate) fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let named = ["chromium-headless-shell", "chromium"].into_iter();
    let mut there = named.flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    std::env::var_os("CCM_CHROMIUM")
        .map(PathBuf::from)
        .or_else(|| there.find(|path| path.exists()))
        .unwrap_or_else(|| panic!("no Chromium: run `cargo xtask setup`, or set CCM_CHROMIUM"))
}

/// A folder for `PYTHONPATH`: the `apsw` in it embeds SQLite 3.46.0, which has the WAL-reset bug.
/// `$CCM_APSW`, else what `cargo xtask setup` installed.
#[must_use]
pub fn affected_sqlite() -> PathBuf {
    python("CCM_APSW", "apsw")
}

/// A folder for `PYTHONPATH` with nats-py, the client of another language: `$CCM_NATS_PY`, else
/// what `cargo xtask setup` installed.
#[must_use]
pub fn nats_py() -> PathBuf {
    python("CCM_NATS_PY", "nats-py")
}

fn python(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let ours = root.join(".tools").join(name);
    assert!(ours.exists(), "no {name}: run `cargo xtask setup`, or set {variable}");
    ours
}

/// `command` as a child that the kernel kills when the calling thread ends.
///
/// Goes through setpriv(1), which sets the parent-death signal and then becomes the program, so
/// the child's pid is the program's. Standard streams are the caller's to set.
#[must_use]
pub fn bound(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]);
    bound.arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        bound.current_dir(dir);
    }
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(key, value),
            None => bound.env_remove(key),
        };
    }
    bound
}

/// Spawns `command` [`bound`] to the calling thread; quiet unless `CCM_TEST_LOG_DIR` is set.
pub fn spawn_bound(command: &Command) -> Child {
    let mut bound = bound(command);
    if std::env::var_os("CCM_TEST_LOG_DIR").is_none() {
        bound.stdout(Stdio::null()).stderr(Stdio::null());
    }
    bound.spawn().unwrap_or_else(|e| panic!("could not start {command:?}: {e}"))
}
