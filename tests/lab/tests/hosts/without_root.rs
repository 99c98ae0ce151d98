//! The daemon as a user of its own, with the rule of polkit and without.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use ccm_lab::{Host, PATIENCE, Ran, Site, SiteOptions, VIP, wait_for};

use crate::stage::{BACKEND, DAEMON, on_installed, wait_status_line};

const RULE: &str = "50-convex-cluster-manager.rules";
const OTHER: &str = "other.service";
const REFUSAL: &str = "systemd does not let this user start convex-backend.service: run as root or \
                       install the polkit rule";

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file)
}

#[test]
fn a_daemon_without_root_runs_the_backend_by_the_rule_and_nothing_else() {
    let test = "a_daemon_without_root_runs_the_backend_by_the_rule_and_nothing_else";
    on_installed(test, 1, SiteOptions::default(), |site: &Site| -> Result<()> {
        let host = site.host(1)?;
        site.init(host)?;
        host.sh("useradd --system --no-create-home ccm && chown -R ccm:ccm /var/lib/convex")?
            .ok()?;
        let drop_in = |unit| format!("etc/systemd/system/{unit}.d/without-root.conf");
        host.copy(&deploy("without-root.conf"), &drop_in(DAEMON))?;
        host.write(&drop_in(BACKEND), "[Service]\nUser=ccm\nGroup=ccm\n")?;
        host.write(
            &format!("etc/systemd/system/{OTHER}"),
            "[Service]\nExecStart=/bin/sleep infinity\n",
        )?;
        host.done(&["systemctl", "daemon-reload"])?;

        // Without the rule it takes part, and says why it does not serve.
        host.done(&["systemctl", "start", "--no-block", DAEMON])?;
        wait_status_line(host, |line| line.contains(REFUSAL))?;
        ensure!(host.unit(BACKEND).is_empty(), "the backend runs");

        host.copy(&deploy("polkit").join(RULE), &format!("etc/polkit-1/rules.d/{RULE}"))?;
        // By itself it waits for half a minute after it could not.
        wait_for(PATIENCE, "it to be promoted", || host.exec(&["ccm", "promote"]).ok()?.ok().ok())?;
        site.wait_serves(1)?;
        ensure!(!host.unit(BACKEND).is_empty(), "no backend");
        let uid = host.done(&["id", "-u", "ccm"])?;
        let daemon = host.unit(DAEMON);
        // The guard is one of them.
        ensure!(daemon.len() == 2, "the daemon's unit has the processes {daemon:?}");
        for pid in daemon {
            let owner = std::fs::metadata(format!("/proc/{pid}"))?.uid();
            ensure!(format!("{owner}\n") == uid, "process {pid} is of user {owner}");
        }
        nothing_else(host)?;

        host.done(&["systemctl", "stop", DAEMON])?;
        ensure!(host.unit(BACKEND).is_empty(), "the daemon has left its backend");
        wait_for(PATIENCE, "the address to be off", || (!host.has(VIP)).then_some(()))
    });
}

/// What the user may not.
fn nothing_else(host: &Host) -> Result<()> {
    host.done(&["systemctl", "start", OTHER])?;
    let backend = host.unit(BACKEND);
    let refused: [(&str, &[&str]); 12] = [
        ("ccm", &["start", "convex-cluster-guard.service"]),
        ("ccm", &["stop", OTHER]),
        ("ccm", &["kill", OTHER]),
        ("ccm", &["stop", DAEMON]),
        ("ccm", &["restart", BACKEND]),
        ("ccm", &["reload", BACKEND]),
        ("ccm", &["disable", BACKEND]),
        ("ccm", &["set-property", BACKEND, "CPUWeight=50"]),
        ("ccm", &["daemon-reload"]),
        ("convex", &["start", BACKEND]),
        ("convex", &["stop", BACKEND]),
        ("convex", &["kill", BACKEND]),
    ];
    for (user, command) in refused {
        let ran = as_user(host, user, command)?;
        let refused = ran.code != Some(0) && ran.err.contains("authentication required");
        ensure!(refused, "{command:?} as {user}: {ran:?}");
    }
    ensure!(!host.unit(OTHER).is_empty(), "{OTHER} was stopped");
    // What it may is what the daemon does, which it is.
    let allowed: [&[&str]; 2] = [&["reset-failed", BACKEND], &["kill", "--signal=CONT", BACKEND]];
    for command in allowed {
        as_user(host, "ccm", command)?.ok().with_context(|| format!("{command:?}"))?;
    }
    ensure!(host.unit(BACKEND) == backend, "the backend is another one");
    Ok(())
}

fn as_user(host: &Host, user: &str, command: &[&str]) -> Result<Ran> {
    let own = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"];
    host.exec(&[&own[..], &["systemctl", "--no-ask-password"], command].concat())
}
