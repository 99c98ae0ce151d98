//! A real `systemd --user` with a bus of its own, in the sandbox.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ccm_harness::wait::until_async;
use ccm_systemd_backend::{Bus, Unit};

/// How long systemd may take until it answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

const RUNTIME: &str = "/run/user/0";

/// The name of what is a policy of the bus.
pub(crate) const POLICY: &str = "policy";

/// Sockets that packages offer to every user, and nobody needs here.
const MASKED: [&str; 6] = [
    "gpg-agent.socket",
    "gpg-agent-ssh.socket",
    "gpg-agent-extra.socket",
    "gpg-agent-browser.socket",
    "dirmngr.socket",
    "pk-debconf-helper.socket",
];

/// One running systemd; it ends with the sandbox.
#[derive(Debug)]
pub(crate) struct Systemd {
    _child: Child,
}

impl Systemd {
    /// Starts it with these unit files, by name and content; no content is a masked unit, and
    /// [`POLICY`] is one of the bus.
    pub(super) async fn start(units: &[(&str, &str)]) -> Self {
        mounts();
        for (name, content) in units {
            if *name == POLICY {
                mount(&["-t", "tmpfs", "tmpfs", "/etc/dbus-1"]);
                std::fs::write("/etc/dbus-1/session-local.conf", content).unwrap();
            } else if content.is_empty() {
                std::os::unix::fs::symlink("/dev/null", units_dir().join(name)).unwrap();
            } else {
                std::fs::write(units_dir().join(name), content).unwrap();
            }
        }
        // With mounts of its own, so that a test may change what itself sees.
        let mut command = Command::new("unshare");
        command.args(["--mount", "/lib/systemd/systemd", "--user", "--log-target=null"]);
        command.arg("--unit=basic.target");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/run/home");
        command.env("XDG_RUNTIME_DIR", RUNTIME).stdin(Stdio::null());
        let systemd = Self { _child: command.spawn().unwrap() };
        until_async(ANSWER_WITHIN, "systemd to answer", tokio::time::sleep, async || {
            systemd.connect("basic-answer").await
        })
        .await;
        systemd
    }

    /// The unit; `None` while systemd does not answer.
    pub(crate) async fn connect(&self, unit: &str) -> Option<Unit> {
        if !Path::new(RUNTIME).join("bus").exists() {
            return None;
        }
        Unit::connect(bus(), unit).await.ok()
    }

    /// The unit.
    pub(crate) async fn unit(&self, name: &str) -> Unit {
        self.connect(name).await.unwrap()
    }

    /// `systemctl --user ARGS`, which must succeed; what it prints.
    pub(crate) fn systemctl(&self, args: &[&str]) -> String {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(args).env("XDG_RUNTIME_DIR", RUNTIME);
        let output = command.output().unwrap();
        assert!(output.status.success(), "systemctl {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn bus() -> Bus {
    Bus::Address(format!("unix:path={RUNTIME}/bus"))
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
    std::fs::create_dir_all("/run/home").unwrap();
    std::fs::create_dir_all(units_dir()).unwrap();
    for socket in MASKED {
        std::os::unix::fs::symlink("/dev/null", units_dir().join(socket)).unwrap();
    }
}

fn mount(args: &[&str]) {
    let output = Command::new("mount").args(args).output().unwrap();
    assert!(output.status.success(), "mount {args:?}: {output:?}");
}
