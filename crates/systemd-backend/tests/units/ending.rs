//! Stopping and killing: done when nothing is left, and not before.

use std::time::Duration;

use ccm_harness::wait::until_async;
use ccm_systemd_backend::{ActiveState, Unit, UnitError};

use crate::support::{SOON, with_systemd};

/// For what must not come to its end.
const BRIEFLY: Duration = Duration::from_millis(500);

/// Waits until the shell of a unit has set its traps: it then has a child.
async fn settled(unit: &Unit) {
    let pid = unit.state().await.unwrap().main_pid;
    let children = format!("/proc/{pid}/task/{pid}/children");
    until_async(SOON, "the child of the shell", tokio::time::sleep, async || {
        let children = std::fs::read_to_string(&children).unwrap_or_default();
        (!children.trim().is_empty()).then_some(())
    })
    .await;
}

#[test]
fn a_unit_that_ignores_sigterm_is_not_stopped_but_killed() {
    let deaf = "[Service]\nTimeoutStopSec=1h\n\
                ExecStart=/bin/sh -c 'trap \"\" TERM; sleep 1000; sleep 1000'\n";
    with_systemd(&[("deaf.service", deaf)], async |systemd| {
        let unit = systemd.unit("deaf").await;
        unit.start(SOON).await.unwrap();
        settled(&unit).await;
        let error = unit.stop(BRIEFLY).await.unwrap_err();
        assert!(matches!(error, UnitError::TimedOut { .. }), "{error}");
        assert_eq!(unit.state().await.unwrap().active, ActiveState::Deactivating);
        assert!(!unit.is_gone().await.unwrap());

        unit.kill(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap() && unit.cgroup_empty().await.unwrap());
        // And it starts again afterwards.
        unit.start(SOON).await.unwrap();
        unit.kill(SOON).await.unwrap();
    });
}

#[test]
fn a_child_that_outlives_the_main_process_keeps_the_unit_from_being_gone() {
    let leaving = "[Service]\nKillMode=process\n\
                   ExecStart=/bin/sh -c 'setsid -f sleep 1000; exec sleep 1000'\n";
    with_systemd(&[("leaving.service", leaving)], async |systemd| {
        let unit = systemd.unit("leaving").await;
        unit.start(SOON).await.unwrap();
        let pid = unit.state().await.unwrap().main_pid;
        until_async(SOON, "the shell to leave a child behind", tokio::time::sleep, async || {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
            (name == "sleep\n").then_some(())
        })
        .await;

        let error = unit.stop(BRIEFLY).await.unwrap_err();
        assert!(matches!(error, UnitError::TimedOut { .. }), "{error}");
        assert_eq!(unit.state().await.unwrap().active, ActiveState::Inactive);
        assert!(!unit.is_gone().await.unwrap() && !unit.cgroup_empty().await.unwrap());

        unit.kill(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap() && unit.cgroup_empty().await.unwrap());
    });
}

#[test]
fn a_unit_that_restarts_itself_is_not_gone_between_two_lives_and_stays_dead_when_killed() {
    let units = [
        ("patient.service", "[Service]\nRestart=always\nRestartSec=1h\nExecStart=/bin/false\n"),
        (
            "eager.service",
            "[Unit]\nStartLimitIntervalSec=0\n\
             [Service]\nRestart=always\nRestartSec=0\nTimeoutStopSec=1h\n\
             ExecStart=/bin/sh -c 'trap \"\" TERM; sleep 1000; sleep 1000'\n",
        ),
    ];
    with_systemd(&units, async |systemd| {
        let unit = systemd.unit("patient").await;
        unit.start(SOON).await.unwrap();
        until_async(SOON, "the pause between", tokio::time::sleep, async || {
            (unit.state().await.unwrap().sub == "auto-restart").then_some(())
        })
        .await;
        assert!(unit.cgroup_empty().await.unwrap() && !unit.is_gone().await.unwrap());
        unit.stop(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap());

        let unit = systemd.unit("eager").await;
        for _ in 0..5 {
            unit.start(SOON).await.unwrap();
            settled(&unit).await;
            unit.kill(SOON).await.unwrap();
            assert!(unit.is_gone().await.unwrap());
        }
    });
}

#[test]
fn a_stop_command_that_hangs_is_killed_too() {
    let hanging = "[Service]\nTimeoutStopSec=1h\nExecStart=/bin/sleep 1000\n\
                   ExecStop=/bin/sleep 1000\nExecStopPost=/bin/sleep 1000\n";
    with_systemd(&[("hanging.service", hanging)], async |systemd| {
        let unit = systemd.unit("hanging").await;
        unit.start(SOON).await.unwrap();
        unit.stop(BRIEFLY).await.unwrap_err();
        unit.kill(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap());
    });
}

#[test]
fn what_is_left_is_seen_where_the_cgroups_are_not() {
    let leaving = "[Service]\nType=oneshot\nRemainAfterExit=yes\nKillMode=none\n\
                   ExecStart=/usr/bin/setsid -f /bin/sleep 1000\n";
    with_systemd(&[("leaving.service", leaving)], async |systemd| {
        let unit = systemd.unit("leaving").await;
        unit.start(SOON).await.unwrap();
        // Hides them from us, and not from systemd.
        let hidden = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs", "/sys/fs/cgroup"])
            .status();
        assert!(hidden.unwrap().success());
        assert!(!unit.cgroup_empty().await.unwrap());
        let error = unit.stop(BRIEFLY).await.unwrap_err();
        assert!(matches!(error, UnitError::TimedOut { .. }), "{error}");
        assert!(!unit.cgroup_empty().await.unwrap() && !unit.is_gone().await.unwrap());
        unit.kill(SOON).await.unwrap();
        assert!(unit.cgroup_empty().await.unwrap() && unit.is_gone().await.unwrap());
    });
}
