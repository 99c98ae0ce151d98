//! What other people do to the unit meanwhile, and what an earlier run has left.

use std::time::Duration;

use ccm_harness::wait::until_async;
use ccm_systemd_backend::{ActiveState, Patience, Unit, UnitError, Verdict};

use crate::support::{SOON, with_systemd};

const NOTIFYING: &str = "[Service]\nType=notify\nTimeoutStartSec=1h\nExecStart=/bin/sleep 1000\n";
const DEAF: &str = "[Service]\nType=exec\nTimeoutStopSec=1h\n\
                    KillSignal=SIGCONT\nExecStart=/bin/sleep 1000\n";

/// Waits until the unit has this verdict.
async fn is(unit: &Unit, verdict: Verdict) {
    until_async(SOON, &format!("{verdict:?}"), tokio::time::sleep, async || {
        (unit.state().await.unwrap().verdict() == verdict).then_some(())
    })
    .await;
}

#[test]
fn nobodys_start_takes_the_place_of_a_stop_before_it_is_done() {
    with_systemd(&[("deaf.service", DEAF)], async |systemd| {
        let unit = systemd.unit("deaf").await;
        unit.start(SOON).await.unwrap();
        let patience = Patience { grace: SOON, within: SOON };
        let others = async {
            is(&unit, Verdict::Stopping).await;
            let started = systemd.try_systemctl(&["start", "deaf"]);
            let said = String::from_utf8_lossy(&started.stderr).into_owned();
            assert!(!started.status.success() && said.contains("destructive"), "{said}");
            // Neither does one of ours, and it says why.
            let error = unit.start(SOON).await.unwrap_err();
            assert!(matches!(error, UnitError::Busy { .. }), "{error:?}");
            assert!(error.is_transient() && error.to_string().contains("list-jobs"), "{error}");
        };
        tokio::select! {
            ended = unit.end(patience) => panic!("it ended by itself: {ended:?}"),
            () = others => {}
        }
        unit.kill(SOON).await.unwrap();
        unit.start(SOON).await.unwrap();
        unit.kill(SOON).await.unwrap();
    });
}

#[test]
fn a_slow_stop_is_escalated_when_its_grace_is_over_and_not_before() {
    with_systemd(&[("deaf.service", DEAF)], async |systemd| {
        let unit = systemd.unit("deaf").await;
        unit.start(SOON).await.unwrap();
        let grace = Duration::from_millis(700);
        let began = tokio::time::Instant::now();
        unit.end(Patience { grace, within: SOON }).await.unwrap();
        assert!(began.elapsed() >= grace, "{:?}", began.elapsed());
        assert!(unit.is_gone().await.unwrap());
        let state = unit.state().await.unwrap();
        assert!(state.in_words().contains("SIGKILL"), "{}", state.in_words());
    });
}

#[test]
fn a_start_that_somebody_else_stops_says_so() {
    with_systemd(&[("slow.service", NOTIFYING)], async |systemd| {
        let unit = systemd.unit("slow").await;
        let (started, ()) = tokio::join!(unit.start(SOON), async {
            is(&unit, Verdict::Starting).await;
            systemd.systemctl(&["stop", "slow"]);
        });
        let error = started.unwrap_err();
        assert!(matches!(error, UnitError::Replaced { .. }), "{error:?}");
        assert!(error.is_transient() && error.to_string().contains("canceled"), "{error}");
        assert!(unit.is_gone().await.unwrap());
    });
}

#[test]
fn a_unit_that_somebody_else_stops_or_starts_is_seen_with_words() {
    let sleeper = "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n";
    with_systemd(&[("sleeper.service", sleeper)], async |systemd| {
        let unit = systemd.unit("sleeper").await;
        let mut watch = unit.watch().await.unwrap();
        systemd.systemctl(&["start", "sleeper"]);
        while watch.state().verdict() != Verdict::Up {
            watch.changed().await.unwrap();
        }
        systemd.systemctl(&["stop", "sleeper"]);
        while watch.state().verdict() != Verdict::Down {
            watch.changed().await.unwrap();
        }
        // systemd may have forgotten the signal by then.
        let words = watch.state().in_words();
        assert!(words.contains("stopped"), "{words}");
    });
}

#[test]
fn a_unit_that_systemd_starts_again_is_counted_and_told_from_one_that_starts() {
    let unit = "[Unit]\nStartLimitIntervalSec=0\n\
                [Service]\nRestart=always\nRestartSec=200ms\nExecStart=/bin/sh -c 'exit 3'\n";
    with_systemd(&[("crashing.service", unit)], async |systemd| {
        let unit = systemd.unit("crashing").await;
        unit.start(SOON).await.unwrap();
        is(&unit, Verdict::Restarting).await;
        until_async(SOON, "three restarts", tokio::time::sleep, async || {
            (unit.state().await.unwrap().restarts >= 3).then_some(())
        })
        .await;
        let restarts = unit.state().await.unwrap().restarts;
        unit.stop(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap());
        unit.start(SOON).await.unwrap();
        assert!(unit.state().await.unwrap().restarts < restarts);
        unit.kill(SOON).await.unwrap();
    });
}

#[test]
fn what_an_earlier_run_has_left_is_ended_before_the_next_one_starts() {
    let leaving = "[Service]\nKillMode=process\n\
                   ExecStart=/bin/sh -c 'setsid -f sleep 1000; exec sleep 2000'\n";
    with_systemd(&[("leaving.service", leaving)], async |systemd| {
        let unit = systemd.unit("leaving").await;
        let processes = || {
            let procs = "/sys/fs/cgroup/app.slice/leaving.service/cgroup.procs";
            let procs = std::fs::read_to_string(procs).unwrap_or_default();
            procs.lines().map(String::from).collect::<Vec<_>>()
        };
        unit.start(SOON).await.unwrap();
        until_async(SOON, "two processes", tokio::time::sleep, async || {
            (processes().len() == 2).then_some(())
        })
        .await;
        // Not our stop, which would see to it.
        systemd.systemctl(&["stop", "leaving"]);
        assert_eq!(unit.state().await.unwrap().active, ActiveState::Inactive);
        let left = processes();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(!unit.is_gone().await.unwrap());

        unit.start(SOON).await.unwrap();
        assert!(!processes().contains(&left[0]), "{left:?}");
        unit.kill(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap() && processes().is_empty());
    });
}
