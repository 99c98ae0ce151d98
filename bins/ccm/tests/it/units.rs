//! The units in deploy/ as systemd reads them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Ours, and the exposure that `systemd-analyze security` may rate them with at most, in tenths.
const UNITS: [(&str, u32); 2] =
    [("convex-cluster-manager.service", 30), ("convex-cluster-guard.service", 21)];
/// The version whose ratings docs/systemd.md tells.
const DOCUMENTED: &str = "systemd 252 ";
/// The backend's is the operator's: it has to be correct, no more.
const BACKEND: &str = "convex-backend.service";

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

/// Without it nothing can be said: `cargo xtask setup` installs it.
fn systemd_analyze() -> Option<Command> {
    let found = Command::new("systemd-analyze").arg("--version").output();
    found.is_ok_and(|output| output.status.success()).then(|| Command::new("systemd-analyze"))
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The units with programs that exist.
fn installed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in UNITS.map(|(name, _)| name).into_iter().chain([BACKEND]) {
        let text = std::fs::read_to_string(deploy(name)).unwrap();
        let text = text
            .replace("/usr/bin/convex-cluster-manager", env!("CARGO_BIN_EXE_ccm"))
            .replace("/usr/bin/convex-local-backend", "/bin/true");
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let drop_in = dir.path().join("convex-cluster-guard.service.d");
    std::fs::create_dir(&drop_in).unwrap();
    std::fs::copy(deploy("process-backend.conf"), drop_in.join("process-backend.conf")).unwrap();
    dir
}

#[test]
fn the_units_are_without_a_mistake() {
    let Some(mut analyze) = systemd_analyze() else { return };
    let dir = installed();
    let units = UNITS.map(|(name, _)| dir.path().join(name));
    let output = analyze.arg("verify").args(units).arg(dir.path().join(BACKEND)).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
fn what_the_units_may_do_is_rated_no_worse_than_documented() {
    for (name, most) in UNITS {
        let Some(mut analyze) = systemd_analyze() else { return };
        let threshold = format!("--threshold={most}");
        let output = analyze.args(["security", "--offline=true", "--no-pager", &threshold]);
        let output = output.arg(deploy(name)).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let Some(mut version) = systemd_analyze() else { return };
        if said(&version.arg("--version").output().unwrap()).starts_with(DOCUMENTED) {
            let said = said(&output);
            let rating = said.rsplit_once("service: ").unwrap().1.split(' ').next().unwrap();
            let page = std::fs::read_to_string(deploy("../docs/systemd.md")).unwrap();
            assert!(page.contains(rating), "docs/systemd.md does not say {rating}");
        }
    }
}

#[test]
fn the_units_say_what_the_program_relies_on() {
    let manager = std::fs::read_to_string(deploy(UNITS[0].0)).unwrap();
    for line in [
        "Type=notify",
        "ExecStart=/usr/bin/convex-cluster-manager daemon --config /etc/convex/cluster.json",
        "Environment=CCM_GUARD_UNIT=convex-cluster-guard.service",
        "KillMode=process",
        // Exit code of a wrong configuration.
        "RestartPreventExitStatus=64",
    ] {
        assert!(manager.lines().any(|one| one == line), "{line}");
    }
}
