//! The deadline holds even when the daemon cannot keep it.

use std::time::Instant;

use ccm_harness::processes::Signal;
use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};

use crate::machine::{LOAD, alone};

/// Takes the primary's daemon out with `strike` and checks that its backend is gone before the
/// lease can be taken, that the other node takes over, and that two never run at once.
fn without_a_daemon(options: ClusterOptions, strike: impl FnOnce(&mut Cluster, usize)) {
    let mut cluster = Cluster::start(options);
    let one = cluster.one_backend();
    let lease = cluster.lease_watch();
    let writer = cluster.writer("guard", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    let name = cluster.nodes[first].name.clone();
    wait::until(PATIENCE, "a renewal", || lease.last_by(&name, Instant::now()));

    strike(&mut cluster, first);
    let gone = wait::until(PATIENCE, "the backend without a daemon to end", || {
        cluster.nodes[first].backends().is_empty().then(Instant::now)
    });
    let renewed = lease.last_by(&name, gone).unwrap().at;
    assert!(gone < renewed + cluster.options.ttl, "stopped {:?} after", gone - renewed);
    cluster.wait_serves(other);
    cluster.wait_acknowledged(&writer, 100);
    cluster.nodes[first].signal_daemon(Signal::CONT);
    cluster.wait_acknowledged(&writer, 300);
    one.assert_never_two();
    let acks = writer.stop();
    let lost = cluster.rows(other, &acks).lost(&acks, first, gone);
    println!("{} lost, the oldest {:?} old", lost.acks.len(), lost.oldest_age);
    assert!(lost.suffix, "not a suffix: {:?}", lost.acks);
}

#[test]
fn a_killed_daemon_that_does_not_come_back_leaves_no_backend_past_the_lease() {
    let _machine = alone();
    without_a_daemon(ClusterOptions::default(), |cluster, first| {
        cluster.nodes[first].kill_daemon();
    });
}

#[test]
fn a_hung_daemon_leaves_no_backend_past_the_lease() {
    let _machine = alone();
    without_a_daemon(ClusterOptions::default(), |cluster, first| {
        cluster.nodes[first].signal_daemon(Signal::STOP);
    });
}

#[test]
fn a_backend_that_ignores_sigterm_is_killed_in_time() {
    let _machine = alone();
    let stubborn = ClusterOptions {
        backend_args: vec![String::from("--ignore-sigterm")],
        ..ClusterOptions::default()
    };
    without_a_daemon(stubborn, |cluster, first| cluster.nodes[first].kill_daemon());
}
