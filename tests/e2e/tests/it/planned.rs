//! Planned moves lose nothing.

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};

use crate::machine::{LOAD, alone};

/// Planned moves in a row.
const MOVES: usize = 20;

#[test]
fn twenty_planned_moves_under_load_lose_nothing_and_two_backends_never_run_at_once() {
    let _machine = alone();
    let cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let writer = cluster.writer("moves", LOAD);
    cluster.wait_acknowledged(&writer, 100);
    let first = cluster.wait_serving();
    let epoch = cluster.nodes[first].status()["epoch"].as_u64().unwrap();

    let mut serving = first;
    for number in 0..MOVES {
        let target = 1 - serving;
        cluster.wait_follows(target);
        // The command may be given on any node.
        let moved = cluster.switchover(number % 2, target).ok();
        println!("move {number}: {}", moved.out.trim().replace('\n', " | "));
        cluster.wait_serves(target);
        cluster.wait_acknowledged(&writer, 100);
        serving = target;
    }
    let status = cluster.wait_status(serving, "PRIMARY", |status| status["role"] == "PRIMARY");
    assert_eq!(status["epoch"].as_u64(), Some(epoch + MOVES as u64), "{status:#}");

    let acks = writer.stop();
    let rows = cluster.rows(serving, &acks);
    let lost = rows.lost(&acks, serving, std::time::Instant::now());
    assert!(lost.acks.is_empty(), "lost: {:?}", lost.acks);
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    assert_eq!(cluster.integrity(serving), "ok");
    one.assert_never_two();
}

#[test]
fn sigterm_of_the_primarys_daemon_is_a_planned_move() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let lease = cluster.lease_watch();
    let writer = cluster.writer("sigterm", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    cluster.wait_acknowledged(&writer, 300);

    let status = cluster.nodes[first].terminate(PATIENCE);
    assert!(status.success(), "the daemon ended with {status}");
    assert!(cluster.nodes[first].backends().is_empty(), "a backend outlived its daemon's stop");
    cluster.wait_serves(other);
    cluster.wait_acknowledged(&writer, 300);
    let name = &cluster.nodes[first].name;
    let released = lease.writes().iter().any(|write| write.released && write.node == *name);
    assert!(released, "the lease was not given back: {:?}", lease.writes());

    let acks = writer.stop();
    let rows = cluster.rows(other, &acks);
    let lost = rows.lost(&acks, first, std::time::Instant::now());
    assert!(lost.acks.is_empty(), "lost: {:?}", lost.acks);
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    wait::until(PATIENCE, "everything of the stopped node to end", || {
        cluster.nodes[first].processes().is_empty().then_some(())
    });
    one.assert_never_two();
}

#[test]
fn demote_works_from_any_node_and_loses_nothing() {
    let _machine = alone();
    let cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let writer = cluster.writer("demote", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    cluster.nodes[other].ccm("demote", &[]).ok();
    cluster.wait_serves(other);
    cluster.wait_acknowledged(&writer, 300);
    cluster.wait_follows(first);
    cluster.nodes[first].ccm("promote", &[]).ok();
    cluster.wait_serves(first);
    cluster.wait_acknowledged(&writer, 300);

    let acks = writer.stop();
    let rows = cluster.rows(first, &acks);
    assert!(rows.lost(&acks, first, std::time::Instant::now()).acks.is_empty());
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    one.assert_never_two();
}
