//! A place for a systemd of its own: own processes, own mounts, own cgroups.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::{bound, wait};

/// Says to the process in the sandbox that it is there.
pub(super) const INSIDE: &str = "CCM_INSIDE_SYSTEMD_SANDBOX";

/// How long the test in the sandbox may take.
const RUN_WITHIN: Duration = Duration::from_secs(180);

/// How long what is left in the sandbox may take to die.
const DIE_WITHIN: Duration = Duration::from_secs(10);

/// What must be there, and the Debian package that has it.
const NEEDED: [(&str, &str); 6] = [
    ("/lib/systemd/systemd", "systemd"),
    ("/usr/bin/systemctl", "systemd"),
    ("/lib/systemd/systemd-journald", "systemd"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/lib/systemd/user/dbus.socket", "dbus-user-session"),
    ("/usr/bin/unshare", "util-linux"),
];

/// Fails in words when this machine cannot run a systemd for the tests.
fn check() {
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(path, _)| !Path::new(path).exists()).map(|(_, p)| *p).collect();
    assert!(
        missing.is_empty(),
        "these tests need the Debian packages {}: run `cargo xtask setup`",
        missing.join(" ")
    );
    assert!(
        rustix::process::geteuid().is_root(),
        "these tests need root: they start a systemd in namespaces of its own"
    );
}

/// A cgroup that takes everything in it along when it goes.
#[derive(Debug)]
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let path = words.next()?;
            (words.next()? == "cgroup2").then(|| PathBuf::from(path))
        });
        let root = root.unwrap_or_else(|| panic!("these tests need cgroup v2, mounted anywhere"));
        sweep(&root);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("ccm-unit-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        std::fs::write(self.0.join("cgroup.kill"), "1").unwrap();
        wait::until(DIE_WITHIN, "the sandbox to be empty", || remove(&self.0).then_some(()));
    }
}

/// Removes the empty cgroups of tests that were killed.
fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.strip_prefix("ccm-unit-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&entry.path());
        }
    }
}

/// Whether it is gone, with everything below it.
fn remove(dir: &Path) -> bool {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    std::fs::remove_dir(dir).is_ok() || !dir.exists()
}

/// Runs the test `name` of this program in a sandbox, and fails as it does.
pub(super) fn run(name: &str) {
    check();
    let cgroup = Cgroup::new();
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut child = start(name, &cgroup.0, output.as_file());
    let status = wait::until(RUN_WITHIN, name, || child.try_wait().unwrap());
    drop(cgroup);
    let said = std::fs::read_to_string(output.path()).unwrap();
    // A name that fits no test would run none, successfully.
    let passed = status.success() && said.contains("1 passed");
    assert!(passed, "in the sandbox: {}\n{said}", in_words(status));
}

fn in_words(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("ended by signal {signal}"),
        None => status.to_string(),
    }
}

fn start(name: &str, cgroup: &Path, output: &File) -> Child {
    let mut command = Command::new("sh");
    // Into the cgroup first, so that the namespace has it as its root.
    command.arg("-c").arg(r#"echo $$ > "$0/cgroup.procs" && exec "$@""#).arg(cgroup);
    command.args(["unshare", "--mount", "--net", "--cgroup", "--pid"]);
    command.args(["--fork", "--kill-child=KILL"]);
    command.arg("--mount-proc").arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    // Who asks for the user's systemd or the system's finds the one in the sandbox.
    command.env("XDG_RUNTIME_DIR", super::RUNTIME);
    for bus in ["DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"] {
        command.env(bus, super::BUS);
    }
    let mut bound = bound(&command);
    bound.stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
    bound.spawn().unwrap()
}
