//! One guard per socket, for as long as it is needed and no longer.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::rig::{self, GUARD, PATIENCE, Rig, code, launch, sh};
use ccm_guard::{BackendState, GuardClient, GuardError, GuardEvent, RefusalCode};
use ccm_harness::processes::{Signal, signal};

#[tokio::test]
async fn a_second_guard_is_refused_and_the_first_one_stays() {
    let rig = Rig::new();
    let (guard, _events) = rig.guard().await;
    let first = guard.hello().await.unwrap();
    assert_eq!(first.backend, BackendState::Stopped);
    let mode = rig.socket().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = rig.foreground().output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another guard runs"), "{said}");
    let (again, _events) = rig.guard().await;
    assert_eq!(again.hello().await.unwrap().pid, first.pid);
}

#[tokio::test]
async fn a_daemon_that_comes_back_finds_the_backend_and_gets_the_events() {
    let rig = Rig::new();
    let (guard, old_events) = rig.guard().await;
    let armed = rig.armed(3, 60_000);
    guard.arm(armed.clone()).await.unwrap();
    let pid = guard.start(&sh("exec sleep 1000")).await.unwrap();
    drop((guard, old_events));
    let (guard, mut events) = rig.guard().await;
    let hello = guard.hello().await.unwrap();
    assert_eq!(hello.armed, Some(armed.clone()));
    assert!(!hello.expired);
    assert!(matches!(hello.backend, BackendState::Running { pid: found, .. } if found == pid));
    let mut adopted = rig.armed(3, 61_000);
    adopted.instance = "the next daemon".to_owned();
    guard.arm(adopted).await.unwrap();
    let refused = guard.arm(rig.armed(2, 99_000)).await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::OlderEpoch));
    let refused = guard.disarm().await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::Running));
    let refused = guard.quit().await.unwrap_err();
    assert_eq!(code(&refused), Some(RefusalCode::Running));
    signal(pid.cast_signed(), Signal::KILL);
    let exited = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    let why = "it was killed by signal 9".to_owned();
    assert_eq!(exited, GuardEvent::BackendExited { why });
}

#[tokio::test]
async fn a_guard_ignores_signals_while_it_is_needed() {
    let rig = Rig::new();
    let (guard, mut events) = rig.guard().await;
    let pid = guard.hello().await.unwrap().pid;
    guard.arm(rig.armed(1, 60_000)).await.unwrap();
    for kind in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal(pid.cast_signed(), kind);
    }
    // Armed without a backend, then with one that is not covered any more by the daemon.
    let backend = guard.start(&sh("exec sleep 1000")).await.unwrap();
    signal(pid.cast_signed(), Signal::TERM);
    assert_eq!(guard.hello().await.unwrap().pid, pid);
    assert!(rig::alive(backend));
    guard.stop(Duration::from_secs(5)).await.unwrap();
    guard.disarm().await.unwrap();
    signal(pid.cast_signed(), Signal::TERM);
    let lost = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    assert_eq!(lost, Some(GuardEvent::GuardLost));
    rig::until("the guard to be gone", || !rig::alive(pid)).await;
    assert!(!rig.socket().exists());
}

#[tokio::test]
async fn a_guard_leaves_when_it_is_told_or_not_needed_for_long_enough() {
    let rig = Rig::with_idle_exit(Duration::from_millis(300));
    let (guard, events) = rig.guard().await;
    let first = guard.hello().await.unwrap().pid;
    guard.quit().await.unwrap();
    rig::until("the guard to quit", || !rig::alive(first)).await;
    drop((guard, events));
    let (guard, events) = rig.guard().await;
    let second = guard.hello().await.unwrap().pid;
    guard.arm(rig.armed(1, 1500)).await.unwrap();
    drop((guard, events));
    // Armed, it stays without a daemon; the deadline over and nobody there, it goes.
    let begun = std::time::Instant::now();
    rig::until("the guard to leave", || !rig::alive(second)).await;
    assert!(begun.elapsed() > Duration::from_millis(1200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_guard_that_hangs_is_not_taken_for_one_that_is_missing() {
    let rig = Rig::new();
    let (guard, _events) = rig.guard().await;
    let pid = guard.hello().await.unwrap().pid;
    signal(pid.cast_signed(), Signal::STOP);
    let silent = guard.hello().await.unwrap_err();
    assert!(silent.is_transient() && silent.is_ambiguous(), "{silent}");
    let silent = rig.try_guard().await.unwrap_err();
    assert!(matches!(silent, GuardError::Silent { .. }), "{silent}");
    signal(pid.cast_signed(), Signal::CONT);
    assert_eq!(guard.hello().await.unwrap().pid, pid);
}

#[tokio::test]
async fn a_guard_that_cannot_be_started_says_why() {
    let rig = Rig::new();
    let within = Duration::from_millis(700);
    let socket = rig.socket();
    let missing = launch(std::path::Path::new("/no/such/guard"), Vec::new());
    let error = GuardClient::connect_or_launch(&missing, &socket, within).await.unwrap_err();
    assert!(matches!(error, GuardError::Spawn { .. }), "{error}");
    let fails = launch(std::path::Path::new(GUARD), Vec::new());
    let error = GuardClient::connect_or_launch(&fails, &socket, within).await.unwrap_err();
    assert!(matches!(&error, GuardError::NotUp { .. }), "{error}");
    let log = std::fs::read_to_string(rig.path("guard.log")).unwrap();
    assert!(log.contains("usage"), "{log}");
    let error = GuardClient::connect(&socket).await.unwrap_err();
    assert!(matches!(error, GuardError::Unreachable { .. }), "{error}");
}
