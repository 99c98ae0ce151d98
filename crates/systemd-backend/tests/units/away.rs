//! A bus or a systemd that is away for a while.

use std::time::Duration;

use ccm_harness::processes::Signal;
use ccm_harness::wait::until_async;
use ccm_systemd_backend::{Bus, Patience, Unit, UnitError, Verdict};

use crate::support::{SOON, with_systemd};

const SLEEPER: &str = "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n";
const SLOW: &str = "[Service]\nType=notify\nNotifyAccess=all\nTimeoutStartSec=1h\n\
                    ExecStart=/bin/sh -c \
                    'read x < /run/ready; systemd-notify --ready; sleep 1000'\n";

/// For what must not come to its end.
const BRIEFLY: Duration = Duration::from_millis(600);

#[test]
fn without_a_bus_a_unit_is_ended_all_the_same_and_nothing_is_made_up() {
    let restless = "[Unit]\nStartLimitIntervalSec=0\n\
                    [Service]\nType=exec\nRestart=always\nRestartSec=0\nTimeoutStopSec=1h\n\
                    KillSignal=SIGCONT\nExecStart=/bin/sleep 1000\n";
    let units = [("sleeper.service", SLEEPER), ("restless.service", restless)];
    with_systemd(&units, async |systemd| {
        for (name, patience) in [
            ("sleeper", Patience::asking(SOON)),
            ("restless", Patience { grace: BRIEFLY, within: SOON }),
            ("restless", Patience::killing(SOON)),
        ] {
            // A unit that has a connection, and one that never had one.
            for connected in [true, false] {
                let unit = Unit::new(Bus::Session, name);
                if connected {
                    unit.start(SOON).await.unwrap();
                } else {
                    systemd.systemctl(&["start", name]);
                }
                let pid = systemd.systemctl(&["show", "-P", "MainPID", name]);
                // The socket as well, or the next connection starts it again.
                systemd.systemctl(&["stop", "dbus.socket", "dbus.service"]);
                assert!(!systemd.answers());
                let error = unit.state().await.unwrap_err();
                assert!(error.is_transient(), "{error:?}");
                assert!(!unit.is_gone().await.unwrap(), "{name}");

                unit.end(patience).await.unwrap();
                assert!(unit.is_gone().await.unwrap(), "{name}");
                let state = systemd.systemctl(&["show", "-P", "ActiveState", name]);
                assert!(matches!(state.trim(), "inactive" | "failed"), "{name}: {state}");
                let left = std::fs::read_to_string(format!("/proc/{}/cmdline", pid.trim()));
                assert_eq!(left.unwrap_or_default(), "", "{name}: process {pid} lives");

                // It has started more often than its limit allows.
                systemd.systemctl(&["reset-failed", "dbus.socket", "dbus.service"]);
                systemd.systemctl(&["start", "dbus.socket"]);
                until_async(SOON, "the bus", tokio::time::sleep, async || {
                    unit.state().await.ok().map(drop)
                })
                .await;
            }
        }
    });
}

#[test]
fn a_start_under_way_outlives_the_bus_and_systemd_s_own_replacement() {
    with_systemd(&[("slow.service", SLOW)], async |systemd| {
        let made = std::process::Command::new("mkfifo").arg("/run/ready").status();
        assert!(made.unwrap().success());
        let unit = systemd.unit("slow").await;
        for away in [&["restart", "dbus.service"][..], &["daemon-reexec"]] {
            let (started, ()) = tokio::join!(unit.start(SOON), async {
                let other = systemd.unit("slow").await;
                until_async(SOON, "the start", tokio::time::sleep, async || {
                    let state = other.state().await.ok()?;
                    (state.verdict() == Verdict::Starting).then_some(())
                })
                .await;
                systemd.systemctl(away);
                let ready = || std::fs::write("/run/ready", "now\n").unwrap();
                tokio::task::spawn_blocking(ready).await.unwrap();
            });
            started.unwrap();
            assert_eq!(unit.state().await.unwrap().verdict(), Verdict::Up, "{away:?}");
            unit.stop(SOON).await.unwrap();
        }
    });
}

#[test]
fn a_systemd_that_hangs_does_not_keep_a_unit_from_being_killed() {
    with_systemd(&[("sleeper.service", SLEEPER)], async |systemd| {
        let unit = systemd.unit("sleeper").await;
        unit.start(SOON).await.unwrap();
        assert!(!unit.is_gone().await.unwrap());
        let pid = unit.state().await.unwrap().main_pid;
        systemd.signal(Signal::STOP);
        let error = unit.end(Patience { grace: BRIEFLY, within: BRIEFLY * 4 }).await.unwrap_err();
        // Nobody can say that nothing is left, so it is not said.
        assert!(matches!(error, UnitError::TimedOut { .. }), "{error:?}");
        let left = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert_eq!(left, "", "process {pid} lives");
        systemd.signal(Signal::CONT);
        until_async(SOON, "systemd to see it gone", tokio::time::sleep, async || {
            unit.is_gone().await.unwrap_or(false).then_some(())
        })
        .await;
    });
}
