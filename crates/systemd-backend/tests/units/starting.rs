//! Starting, and what systemd says of what runs.

use std::time::Duration;

use ccm_systemd_backend::{ActiveState, UnitError};

use crate::support::{SOON, with_systemd};

const SLEEPER: &str = "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n";

#[test]
fn a_unit_that_was_started_runs_and_one_that_was_stopped_is_gone() {
    with_systemd(&[("sleeper.service", SLEEPER)], async |systemd| {
        let unit = systemd.unit("sleeper").await;
        assert_eq!(unit.name(), "sleeper.service");
        assert!(unit.is_gone().await.unwrap());

        unit.start(SOON).await.unwrap();
        let state = unit.state().await.unwrap();
        assert_eq!((state.active, state.sub.as_str()), (ActiveState::Active, "running"));
        assert_eq!((state.load.as_str(), state.result.as_str()), ("loaded", "success"));
        let command = std::fs::read_to_string(format!("/proc/{}/comm", state.main_pid)).unwrap();
        assert_eq!(command, "sleep\n");
        assert!(state.uptime() > Duration::ZERO && state.uptime() < SOON);
        assert!(!unit.is_gone().await.unwrap() && !unit.cgroup_empty().await.unwrap());

        // Started and stopped twice is started and stopped.
        unit.start(SOON).await.unwrap();
        assert_eq!(unit.state().await.unwrap().main_pid, state.main_pid);
        unit.stop(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap() && unit.cgroup_empty().await.unwrap());
        let state = unit.state().await.unwrap();
        assert_eq!((state.active, state.main_pid), (ActiveState::Inactive, 0));
        assert_eq!(state.uptime(), Duration::ZERO);
        unit.stop(SOON).await.unwrap();
        unit.kill(SOON).await.unwrap();
    });
}

#[test]
fn a_start_that_fails_says_how_the_process_ended() {
    let failing = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 7'\n";
    let nothing = "[Service]\nType=exec\nExecStart=/nonexistent/program\n";
    let crashing = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'kill -KILL $$$$'\n";
    let units = [
        ("failing.service", failing),
        ("nothing.service", nothing),
        ("crashing.service", crashing),
    ];
    with_systemd(&units, async |systemd| {
        for (name, why) in
            [("failing", "status 7"), ("nothing", "status 203"), ("crashing", "signal 9")]
        {
            let unit = systemd.unit(name).await;
            let error = unit.start(SOON).await.unwrap_err();
            assert!(matches!(error, UnitError::Failed { .. }), "{error}");
            assert!(error.is_transient() && error.to_string().contains(why), "{error}");
            let state = unit.state().await.unwrap();
            assert_eq!(state.active, ActiveState::Failed);
            assert!(state.in_words().contains(why), "{}", state.in_words());
        }
    });
}

#[test]
fn a_start_that_fails_says_what_the_program_wrote_last() {
    let talking = "[Service]\nType=notify\nTimeoutStartSec=500ms\n\
                   ExecStart=/bin/sh -c \
                   'echo one; echo cannot open the database >&2; sleep 1000'\n";
    let silent = "[Service]\nType=oneshot\nExecStart=/bin/false\n";
    let units = [("talking.service", talking), ("silent.service", silent)];
    with_systemd(&units, async |systemd| {
        let unit = systemd.unit("talking").await;
        let error = unit.start(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::Failed { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("it wrote last: one | cannot open the database; journ"), "{said}");
        assert_eq!(unit.last_lines().await.lines(), ["one", "cannot open the database"]);

        // One that wrote nothing is no reason to wait or to make something up.
        let unit = systemd.unit("silent").await;
        let error = unit.start(SOON).await.unwrap_err();
        assert!(error.to_string().contains("status 1;"), "{error}");
        assert!(unit.last_lines().await.lines().is_empty());
        assert!(systemd.unit("nobody").await.last_lines().await.lines().is_empty());
    });
}

#[test]
fn a_start_that_takes_too_long_for_the_unit_or_for_us_is_told_apart() {
    let units = [
        (
            "slow.service",
            "[Service]\nType=notify\nTimeoutStartSec=500ms\nExecStart=/bin/sleep 1000\n",
        ),
        (
            "slower.service",
            "[Service]\nType=notify\nTimeoutStartSec=1h\nExecStart=/bin/sleep 1000\n",
        ),
    ];
    with_systemd(&units, async |systemd| {
        let error = systemd.unit("slow").await.start(SOON).await.unwrap_err();
        assert!(matches!(error, UnitError::Failed { .. }), "{error}");
        assert!(error.to_string().contains("TimeoutStartSec="), "{error}");

        let unit = systemd.unit("slower").await;
        let error = unit.start(Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, UnitError::TimedOut { .. }), "{error}");
        assert!(error.is_ambiguous() && error.is_transient());
        // It goes on until it is stopped.
        assert_eq!(unit.state().await.unwrap().active, ActiveState::Activating);
        assert!(!unit.is_gone().await.unwrap());
        unit.stop(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap());
    });
}

#[test]
fn a_stop_takes_the_place_of_a_start_that_waits_for_its_turn() {
    let units = [
        (
            "never.service",
            "[Service]\nType=notify\nTimeoutStartSec=1h\nExecStart=/bin/sleep 1000\n",
        ),
        (
            "waiting.service",
            "[Unit]\nAfter=never.service\nWants=never.service\n[Service]\nExecStart=/bin/sleep 9\n",
        ),
    ];
    with_systemd(&units, async |systemd| {
        let unit = systemd.unit("waiting").await;
        let starting = unit.start(SOON);
        let stopping = async {
            ccm_harness::wait::until_async(SOON, "the job", tokio::time::sleep, async || {
                let jobs = systemd.systemctl(&["list-jobs"]);
                (jobs.contains("waiting.service") && jobs.contains("never.service")).then_some(())
            })
            .await;
            assert_eq!(unit.state().await.unwrap().active, ActiveState::Inactive);
            assert!(!unit.is_gone().await.unwrap(), "it is about to start");
            unit.stop(SOON).await.unwrap();
        };
        let (started, ()) = tokio::join!(starting, stopping);
        let error = started.unwrap_err();
        assert!(error.to_string().contains("canceled"), "{error}");
        assert!(unit.is_gone().await.unwrap());
        systemd.unit("never").await.kill(SOON).await.unwrap();
        assert!(unit.is_gone().await.unwrap());
    });
}
