//! Units that systemd does not start, and what an operator is told.

use ccm_harness::wait::until_async;
use ccm_systemd_backend::{ActiveState, Unit, UnitError};

use crate::support::{POLICY, SOON, with_systemd};

#[test]
fn a_unit_that_is_missing_masked_or_broken_is_told_apart() {
    let units = [("masked.service", ""), ("broken.service", "[Service]\nExecStart=./relative\n")];
    with_systemd(&units, async |systemd| {
        let error = systemd.unit("nobody").await.start(SOON).await.unwrap_err();
        assert!(matches!(&error, UnitError::Missing { unit } if unit == "nobody.service"));
        assert!(!error.is_transient() && error.to_string().contains("daemon-reload"), "{error}");

        let error = systemd.unit("masked").await.start(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::Masked { .. }), "{error}");
        assert!(error.to_string().contains("systemctl unmask masked.service"), "{error}");

        let error = systemd.unit("broken").await.start(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::Broken { .. }), "{error}");

        let error = systemd.unit("not a name").await.start(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::Missing { .. }), "{error:?}");

        // What does not exist does not run.
        for name in ["nobody", "masked"] {
            let unit = systemd.unit(name).await;
            assert!(unit.is_gone().await.unwrap(), "{name}");
            unit.stop(SOON).await.unwrap();
            unit.kill(SOON).await.unwrap();
        }
        let state = systemd.unit("nobody").await.state().await.unwrap();
        assert_eq!((state.active, state.load.as_str()), (ActiveState::Inactive, "not-found"));
        assert_eq!(state.in_words(), "inactive (dead): there is no unit of this name");
        let state = systemd.unit("masked").await.state().await.unwrap();
        assert_eq!(state.in_words(), "inactive (dead): it is masked");
    });
}

#[test]
fn a_condition_that_does_not_hold_or_a_dependency_that_fails_is_said() {
    let units = [
        (
            "unmet.service",
            "[Unit]\nConditionPathExists=/nonexistent\n[Service]\nExecStart=/bin/sleep 1000\n",
        ),
        (
            "needy.service",
            "[Unit]\nRequires=bad.service\nAfter=bad.service\n[Service]\nExecStart=/bin/sleep 9\n",
        ),
        ("bad.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n"),
    ];
    with_systemd(&units, async |systemd| {
        let error = systemd.unit("unmet").await.start(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::Unmet { .. }), "{error}");

        let error = systemd.unit("needy").await.start(SOON).await.unwrap_err();
        assert!(error.to_string().contains("requires did not start"), "{error}");
    });
}

/// A policy under which nobody may call these methods of systemd.
fn denying(methods: &[&str]) -> String {
    let deny = |method| {
        format!(
            r#"<deny send_destination="org.freedesktop.systemd1"
                send_interface="org.freedesktop.systemd1.Manager" send_member="{method}"/>"#
        )
    };
    let denied: String = methods.iter().map(deny).collect();
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
            "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
        <busconfig><policy context="mandatory">{denied}</policy></busconfig>"#
    )
}

const RESTLESS: &str = "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h\n\
                        [Service]\nRestart=always\nRestartSec=0\nExecStart=/bin/false\n";

/// Waits until systemd has given up on a unit that starts again and again.
async fn given_up(unit: &Unit) {
    until_async(SOON, "systemd to give up", tokio::time::sleep, async || {
        let state = unit.state().await.unwrap();
        (state.active == ActiveState::Failed && unit.is_gone().await.unwrap()).then_some(())
    })
    .await;
}

#[test]
fn a_start_limit_that_was_hit_does_not_keep_a_new_start_away() {
    with_systemd(&[("restless.service", RESTLESS)], async |systemd| {
        let unit = systemd.unit("restless").await;
        for _ in 0..3 {
            // With Type=simple whatever was forked is started.
            unit.start(SOON).await.unwrap();
            given_up(&unit).await;
        }
    });
}

#[test]
fn a_start_limit_that_may_not_be_forgotten_is_told_from_a_program_that_fails() {
    let policy = denying(&["ResetFailedUnit"]);
    with_systemd(&[("restless.service", RESTLESS), (POLICY, &policy)], async |systemd| {
        let unit = systemd.unit("restless").await;
        unit.start(SOON).await.unwrap();
        given_up(&unit).await;
        let error = unit.start(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::StartLimit { .. }), "{error}");
        assert!(error.to_string().contains("reset-failed restless.service"), "{error}");
        assert!(error.is_transient());
    });
}

#[test]
fn a_user_who_may_not_is_told_so_at_once() {
    let sleeper = "[Service]\nExecStart=/bin/sleep 1000\n";
    let policy = denying(&["StartUnit", "StopUnit"]);
    with_systemd(&[("sleeper.service", sleeper), (POLICY, &policy)], async |systemd| {
        let unit = systemd.unit("sleeper").await;
        // Not over the bus. What does not run need not be stopped.
        unit.stop(SOON).await.unwrap();
        systemd.systemctl(&["start", "sleeper"]);
        for result in [unit.start(SOON).await, unit.stop(SOON).await, unit.kill(SOON).await] {
            let error = result.unwrap_err();
            assert!(matches!(error, UnitError::Denied { .. }), "{error}");
            assert!(!error.is_transient() && error.to_string().contains("polkit"), "{error}");
        }
    });
}

#[test]
fn a_user_who_may_stop_but_not_kill_is_told_so() {
    let deaf = "[Service]\nTimeoutStopSec=1h\nType=exec\n\
                KillSignal=SIGCONT\nExecStart=/bin/sleep 1000\n";
    let policy = denying(&["KillUnit"]);
    with_systemd(&[("deaf.service", deaf), (POLICY, &policy)], async |systemd| {
        let unit = systemd.unit("deaf").await;
        unit.start(SOON).await.unwrap();
        let error = unit.kill(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::Denied { .. }), "{error}");
    });
}
