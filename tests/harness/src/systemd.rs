//! A real systemd for one test: a `systemd --user` with a bus and a journal of its own, in
//! namespaces and a cgroup that end with the test.

mod sandbox;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::processes::{self, Signal};
use crate::wait;

/// How long systemd and the journal may take until they answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

const RUNTIME: &str = "/run/user/0";

/// Of the journal: nothing of the machine's, and nothing to it.
const JOURNAL: &str = "[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nRateLimitBurst=0\n\
                       ForwardToWall=no\nForwardToConsole=no\n";

/// Where programs find the bus, also those that look for the system's.
const BUS: &str = "unix:path=/run/user/0/bus";

/// The name of what is a policy of the bus.
pub const POLICY: &str = "policy";

/// Sockets that packages offer to every user, and nobody needs here.
const MASKED: [&str; 6] = [
    "gpg-agent.socket",
    "gpg-agent-ssh.socket",
    "gpg-agent-extra.socket",
    "gpg-agent-browser.socket",
    "dirmngr.socket",
    "pk-debconf-helper.socket",
];

/// Runs `test` with a systemd of its own that has these unit files; no content masks a unit, and
/// the content of [`POLICY`] is a policy of the bus.
///
/// The test function that calls this runs twice: outside it starts itself in a sandbox, where it
/// starts systemd and runs `test`. There `DBUS_SYSTEM_BUS_ADDRESS` leads to this systemd as well.
///
/// # Panics
/// With `test`, without root, without cgroup v2, and without the Debian packages it needs; it says
/// which.
pub fn in_systemd<F: FnOnce(&UserSystemd)>(units: &[(&str, &str)], test: F) {
    in_systemd_as(test_of::<F>(), units, test);
}

/// [`in_systemd`] for the test function with this name.
///
/// # Panics
/// As [`in_systemd`].
pub fn in_systemd_as(name: &str, units: &[(&str, &str)], test: impl FnOnce(&UserSystemd)) {
    if std::env::var_os(sandbox::INSIDE).is_none() {
        return sandbox::run(name);
    }
    test(&UserSystemd::start(units));
}

/// The name of the test function that a closure was written in, as the test program knows it; the
/// closure may be within another one.
#[must_use]
pub fn test_of<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_program, path)| path);
    path.split("::{{closure}}").next().unwrap_or(path)
}

/// One running systemd; it ends with the sandbox.
#[derive(Debug)]
pub struct UserSystemd {
    child: Child,
    _journal: Child,
}

impl UserSystemd {
    fn start(units: &[(&str, &str)]) -> Self {
        mounts();
        succeeds("ip", &["link", "set", "lo", "up"]);
        for (name, content) in units {
            write_unit(name, content);
        }
        let journal = journal();
        // With mounts of its own, so that a test may change what itself sees.
        let mut command = Command::new("unshare");
        command.args(["--mount", "/lib/systemd/systemd", "--user", "--log-target=journal"]);
        command.arg("--unit=basic.target");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/run/home");
        command.env("XDG_RUNTIME_DIR", RUNTIME).stdin(Stdio::null());
        let systemd = Self { child: command.spawn().unwrap(), _journal: journal };
        wait::until(ANSWER_WITHIN, "systemd to answer over the bus", || {
            systemd.answers().then_some(())
        });
        systemd
    }

    /// Whether it answers over the bus.
    #[must_use]
    pub fn answers(&self) -> bool {
        if !Path::new(RUNTIME).join("bus").exists() {
            return false;
        }
        let mut ping = Command::new("busctl");
        ping.args(["--timeout=1", &format!("--address={BUS}"), "call"]);
        ping.args(["org.freedesktop.systemd1", "/org/freedesktop/systemd1"]);
        ping.args(["org.freedesktop.DBus.Peer", "Ping"]);
        ping.output().unwrap().status.success()
    }

    /// `systemctl --user ARGS`, which must succeed; what it prints.
    pub fn systemctl(&self, args: &[&str]) -> String {
        let output = self.try_systemctl(args);
        assert!(output.status.success(), "systemctl {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `systemctl --user ARGS`.
    #[must_use]
    pub fn try_systemctl(&self, args: &[&str]) -> Output {
        Command::new("systemctl").arg("--user").args(args).output().unwrap()
    }

    /// Adds a unit file, or replaces one, and has it read.
    pub fn add_unit(&self, name: &str, content: &str) {
        write_unit(name, content);
        self.systemctl(&["daemon-reload"]);
    }

    /// Sends a signal to systemd itself.
    pub fn signal(&self, signal: Signal) {
        processes::signal(i32::try_from(self.child.id()).unwrap(), signal);
    }
}

/// A journal for what the units write.
fn journal() -> Child {
    let (config, theirs) = ("/run/journald.conf", "/etc/systemd/journald.conf");
    std::fs::write(config, JOURNAL).unwrap();
    if Path::new(theirs).exists() {
        mount(&["--bind", config, theirs]);
    }
    let mut command = Command::new("/lib/systemd/systemd-journald");
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    wait::until(ANSWER_WITHIN, "the journal", || {
        Path::new("/run/systemd/journal/stdout").exists().then_some(())
    });
    child
}

fn write_unit(name: &str, content: &str) {
    if name == POLICY {
        mount(&["-t", "tmpfs", "tmpfs", "/etc/dbus-1"]);
        std::fs::write("/etc/dbus-1/session-local.conf", content).unwrap();
    } else if content.is_empty() {
        std::os::unix::fs::symlink("/dev/null", units_dir().join(name)).unwrap();
    } else {
        std::fs::write(units_dir().join(name), content).unwrap();
    }
}

fn units_dir() -> PathBuf {
    Path::new(RUNTIME).join("systemd/user")
}

/// What systemd needs to believe that it is at home.
fn mounts() {
    // There may be nothing, or several layers.
    Command::new("umount").args(["-R", "/sys/fs/cgroup"]).output().unwrap();
    mount(&["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
    mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]);
    // sd_booted(3) looks for this.
    std::fs::create_dir_all("/run/systemd/system").unwrap();
    // Where root asks systemd without a bus.
    std::os::unix::fs::symlink(format!("{RUNTIME}/systemd/private"), "/run/systemd/private")
        .unwrap();
    std::fs::create_dir_all("/run/systemd/journal").unwrap();
    std::fs::create_dir_all("/run/home").unwrap();
    std::fs::create_dir_all(units_dir()).unwrap();
    // The journal learns there which run of a unit a process belongs to.
    let known = Path::new(RUNTIME).join("systemd/units");
    std::fs::create_dir_all(&known).unwrap();
    std::os::unix::fs::symlink(known, "/run/systemd/units").unwrap();
    for socket in MASKED {
        std::os::unix::fs::symlink("/dev/null", units_dir().join(socket)).unwrap();
    }
}

fn mount(args: &[&str]) {
    succeeds("mount", args);
}

fn succeeds(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("no {program} ({e}): run `cargo xtask setup`"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}
