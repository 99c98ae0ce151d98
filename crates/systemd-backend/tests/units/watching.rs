//! Seeing what a unit does by itself.

use std::time::Duration;

use ccm_harness::wait::until_async;
use ccm_systemd_backend::{ActiveState, UnitState, Watch};
use tokio::time::timeout;

use crate::support::{SOON, with_systemd};

/// Before the watch looks without news, so that only a signal can be what it has followed.
const BY_SIGNAL: Duration = Duration::from_secs(4);

/// The first state that fits.
async fn seen(watch: &mut Watch, fits: impl Fn(&UnitState) -> bool) -> UnitState {
    let looking = async {
        while !fits(watch.state()) {
            watch.changed().await.unwrap();
        }
        watch.state().clone()
    };
    timeout(BY_SIGNAL, looking).await.unwrap()
}

#[test]
fn a_unit_that_ends_by_itself_is_seen_to_end_and_how() {
    let units = [
        ("ending.service", "[Service]\nExecStart=/bin/sh -c 'read x < /run/end; exit 3'\n"),
        ("dying.service", "[Service]\nExecStart=/bin/sleep 1000\n"),
    ];
    with_systemd(&units, async |systemd| {
        let made = std::process::Command::new("mkfifo").arg("/run/end").status();
        assert!(made.unwrap().success());
        let unit = systemd.unit("ending").await;
        let mut watch = unit.watch().await.unwrap();
        assert_eq!(watch.state().active, ActiveState::Inactive);
        unit.start(SOON).await.unwrap();
        seen(&mut watch, |state| state.active == ActiveState::Active).await;
        std::fs::write("/run/end", "now\n").unwrap();
        let state = seen(&mut watch, |state| state.active == ActiveState::Failed).await;
        assert_eq!((state.result.as_str(), state.exit_status), ("exit-code", 3));
        assert_eq!(state.main_pid, 0);

        let unit = systemd.unit("dying").await;
        let mut watch = unit.watch().await.unwrap();
        unit.start(SOON).await.unwrap();
        let state = seen(&mut watch, |state| state.main_pid != 0).await;
        let killed = std::process::Command::new("kill")
            .args(["-KILL", &state.main_pid.to_string()])
            .status();
        assert!(killed.unwrap().success());
        let state = seen(&mut watch, |state| state.active == ActiveState::Failed).await;
        assert_eq!((state.result.as_str(), state.exit_status), ("signal", 9));
        assert!(unit.is_gone().await.unwrap());
    });
}

#[test]
fn a_bus_that_was_restarted_is_found_again() {
    let sleeper = "[Service]\nExecStart=/bin/sleep 1000\n";
    with_systemd(&[("sleeper.service", sleeper)], async |systemd| {
        let unit = systemd.unit("sleeper").await;
        let mut watch = unit.watch().await.unwrap();
        unit.start(SOON).await.unwrap();
        seen(&mut watch, |state| state.active == ActiveState::Active).await;
        systemd.systemctl(&["restart", "dbus.service"]);
        let state =
            until_async(SOON, "an answer", tokio::time::sleep, async || unit.state().await.ok())
                .await;
        assert_eq!(state.active, ActiveState::Active);
        unit.stop(SOON).await.unwrap();
        // An error may come first: the watch has lost its connection.
        let ending = async {
            while watch.state().active != ActiveState::Inactive {
                if let Err(error) = watch.changed().await {
                    assert!(error.is_transient(), "{error}");
                    tokio::task::yield_now().await;
                }
            }
        };
        timeout(SOON, ending).await.unwrap();
    });
}
