//! A real guard with real backends: it acts alone, in time, and on everything that is left.

use std::time::Duration;

use crate::rig::{self, PATIENCE, Rig, code, sh, words};
use ccm_guard::{BackendState, GuardEvent, RefusalCode};
use ccm_harness::processes::{Signal, signal};
use ccm_types::BootClock;

#[tokio::test]
async fn a_backend_whose_lease_runs_out_is_gone_in_time() {
    let rig = Rig::new();
    let (guard, mut events) = rig.guard().await;
    let armed = rig.armed(1, 600);
    guard.arm(armed.clone()).await.unwrap();
    let pid = guard.start(&sh("exec sleep 1000")).await.unwrap();
    let exited = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    let now = BootClock.now();
    assert!(armed.valid_until <= now && now <= armed.gone_by, "{armed:?} {now}");
    let why = "the lease of epoch 1 ran out".to_owned();
    assert_eq!(exited, GuardEvent::BackendExited { why });
    assert!(!rig::alive(pid));
    assert!(guard.hello().await.unwrap().expired);
    let refused = guard.arm(rig.armed(1, 60_000)).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::DeadlinePassed));
    let refused = guard.start(&sh("exec sleep 1000")).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::DeadlinePassed));
}

#[tokio::test]
async fn a_backend_that_ignores_sigterm_and_hides_its_children_is_gone_in_time() {
    let rig = Rig::new();
    let (guard, _events) = rig.guard().await;
    let armed = rig.armed(1, 600);
    guard.arm(armed.clone()).await.unwrap();
    let hidden = rig.path("hidden");
    let script = format!(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ >{0}.new; mv {0}.new {0}; \
         while :; do sleep 1000; done' & (sleep 1001 &) ; while :; do sleep 1002; done",
        hidden.display()
    );
    let pid = guard.start(&sh(&script)).await.unwrap();
    let hidden: u32 = rig::number_in(&hidden).await;
    assert!(rig::alive(pid) && rig::alive(hidden));
    rig::until("everything of the backend to be gone", || rig.backends().is_empty()).await;
    let now = BootClock.now();
    assert!(armed.kill_at <= now && now <= armed.gone_by, "{armed:?} {now}");
    assert!(!rig::alive(pid) && !rig::alive(hidden));
}

#[tokio::test]
async fn a_renewed_lease_changes_nothing() {
    let rig = Rig::new();
    let (guard, _events) = rig.guard().await;
    let first = rig.armed(1, 500);
    guard.arm(first.clone()).await.unwrap();
    let pid = guard.start(&sh("exec sleep 1000")).await.unwrap();
    guard.arm(rig.armed(1, 60_000)).await.unwrap();
    let refused = guard.arm(rig.armed(1, 30_000)).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::Backwards));
    rig::until("the first deadline to be over", || BootClock.now() > first.gone_by).await;
    assert!(rig::alive(pid));
    let hello = guard.hello().await.unwrap();
    assert!(matches!(hello.backend, BackendState::Running { pid: running, .. } if running == pid));
}

#[tokio::test]
async fn a_guard_acts_when_its_daemon_is_killed_or_stopped() {
    for how in [Signal::KILL, Signal::STOP] {
        let rig = Rig::new();
        let (guard, _events) = rig.guard().await;
        // A second connection, of a process that can be killed and stopped.
        let mut daemon = rig.daemon();
        let armed = rig.armed(1, 2000);
        daemon.ask(&serde_json::json!({"id": 1, "do": "arm", "armed": &armed}));
        let script = sh("trap '' TERM; while :; do sleep 1000; done");
        daemon.ask(&serde_json::json!({"id": 2, "do": "start", "argv": script}));
        rig::until("the backend to run", || !rig.backends().is_empty()).await;
        drop(guard);
        signal(daemon.pid(), how);
        rig::until("the backend to be gone", || rig.backends().is_empty()).await;
        let now = BootClock.now();
        assert!(armed.kill_at <= now && now <= armed.gone_by, "{armed:?} {now} {how:?}");
    }
}

#[tokio::test]
async fn a_stop_gives_its_grace_while_renewals_go_through() {
    let rig = Rig::new();
    let (guard, mut events) = rig.guard().await;
    guard.arm(rig.armed(1, 60_000)).await.unwrap();
    let ready = rig.path("ready");
    let script = format!("trap '' TERM; touch {}; while :; do sleep 1000; done", ready.display());
    guard.start(&sh(&script)).await.unwrap();
    rig::until("the trap to be set", || ready.exists()).await;
    let begun = BootClock.now();
    let stop = guard.stop(Duration::from_millis(700));
    let renew = async {
        guard.arm(rig.armed(1, 61_000)).await.unwrap();
        BootClock.now()
    };
    let (stopped, renewed) = tokio::join!(stop, renew);
    stopped.unwrap();
    let took = BootClock.now().since(begun);
    assert!(renewed.since(begun) < Duration::from_millis(600), "a renewal waited for the stop");
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(3), "{took:?}");
    assert_eq!(guard.hello().await.unwrap().backend, BackendState::Stopped);
    assert!(events.try_recv().is_err(), "a stop that was asked for is no event");

    guard.start(&sh("exec sleep 1000")).await.unwrap();
    let begun = BootClock.now();
    guard.stop(Duration::from_secs(30)).await.unwrap();
    assert!(BootClock.now().since(begun) < Duration::from_secs(5), "SIGTERM was enough");

    guard.start(&sh(&script)).await.unwrap();
    let gone_by = BootClock.now() + Duration::from_millis(800);
    guard.kill(gone_by).await.unwrap();
    assert!(BootClock.now() <= gone_by);
    assert_eq!(rig.backends(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_backend_that_ends_by_itself_is_reported_with_its_leftovers_gone() {
    let rig = Rig::new();
    let (guard, mut events) = rig.guard().await;
    guard.arm(rig.armed(1, 60_000)).await.unwrap();
    guard.start(&sh("setsid sleep 1000 & exit 3")).await.unwrap();
    let exited = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    let why = "it exited with status 3".to_owned();
    assert_eq!(exited, GuardEvent::BackendExited { why: why.clone() });
    assert_eq!(rig.backends(), Vec::<i32>::new());
    assert_eq!(guard.hello().await.unwrap().backend, BackendState::Exited { why });
    let refused = guard.start(&words("/no/such/program")).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::CannotStart));
    guard.start(&words("no-such-program")).await.unwrap();
    let exited = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert!(format!("{exited:?}").contains("could not be run"), "{exited:?}");
    // The output of all of them is in the log.
    let log = std::fs::read_to_string(rig.path("backend.log")).unwrap();
    assert!(log.contains("no-such-program"), "{log}");
}

#[tokio::test]
async fn a_guard_that_is_killed_takes_the_backend_with_it_and_the_next_one_what_it_left() {
    let rig = Rig::new();
    let (guard, mut events) = rig.guard().await;
    guard.arm(rig.armed(1, 60_000)).await.unwrap();
    let child = rig.path("child");
    let script = format!("sleep 1000 & echo $! >{0}.new; mv {0}.new {0}; wait", child.display());
    let pid = guard.start(&sh(&script)).await.unwrap();
    let child: u32 = rig::number_in(&child).await;
    let killed = guard.hello().await.unwrap().pid;
    signal(killed.cast_signed(), Signal::KILL);
    rig::until("the backend to die with its guard", || !rig::alive(pid)).await;
    let lost = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    assert_eq!(lost, Some(GuardEvent::GuardLost));
    assert!(guard.hello().await.unwrap_err().is_transient());
    assert!(rig::alive(child), "what the backend had started is not the kernel's to end");
    let (guard, _events) = rig.guard().await;
    assert_ne!(guard.hello().await.unwrap().pid, killed);
    assert!(!rig::alive(child), "the next guard answers only when nothing is left");
}
