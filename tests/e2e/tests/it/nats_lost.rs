//! NATS loses its storage while both nodes are down.

use std::time::Instant;

use ccm_harness::processes::Signal;
use ccm_harness::{Ack, Cluster, ClusterOptions, PATIENCE, wait};
use serde_json::json;

use crate::machine::{LOAD, alone};

/// Deletes every stream whose name ends like this.
fn lose(cluster: &Cluster, end: &str) {
    let answer = cluster.nats.request("$JS.API.STREAM.NAMES", &json!({}));
    let names: Vec<String> = answer["streams"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str())
        .filter(|name| name.ends_with(end))
        .map(String::from)
        .collect();
    assert_eq!(names.len(), 1, "{answer}");
    for name in names {
        let deleted = cluster.nats.request(&format!("$JS.API.STREAM.DELETE.{name}"), &json!({}));
        assert_eq!(deleted["success"], true, "{deleted}");
    }
}

/// Both nodes have everything and are stopped, NATS loses `lost`, both are started.
fn the_cluster_goes_on_without(lost: &[&str]) {
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let writer = cluster.writer("before", LOAD);
    cluster.wait_acknowledged(&writer, 200);
    let first = cluster.wait_serving();
    let before = writer.stop();
    let txid = std::cell::Cell::new(0);
    cluster.wait_status(first, "everything shipped", |status| {
        txid.set(status["txid"].as_u64().unwrap_or(0));
        status["unshippedBytes"] == 0
    });
    cluster.wait_status(1 - first, "everything applied", |status| {
        status["txid"].as_u64().is_some_and(|at| at >= txid.get())
    });
    for node in &cluster.nodes {
        node.signal_daemon(Signal::TERM);
    }
    for node in &mut cluster.nodes {
        wait::until(PATIENCE, "both daemons to end", || node.ended());
    }
    lost.iter().for_each(|end| lose(&cluster, end));
    for node in &mut cluster.nodes {
        node.start();
    }
    let serving = cluster.wait_serving();
    let writer = cluster.writer("after", LOAD);
    cluster.wait_acknowledged(&writer, 100);
    cluster.wait_follows(1 - serving);
    let mut acks = before;
    acks.extend(writer.stop());
    let rows = cluster.rows(serving, &acks);
    assert!(rows.lost(&acks, first, Instant::now()).acks.is_empty(), "without {lost:?}");
    one.assert_never_two();
}

#[test]
fn the_lease_is_lost_and_no_epoch_is_taken_twice() {
    let _machine = alone();
    the_cluster_goes_on_without(&["-election"]);
}

#[test]
fn the_objects_are_lost_and_no_empty_database_is_served() {
    let _machine = alone();
    the_cluster_goes_on_without(&["-wal"]);
}

#[test]
fn both_are_lost_and_the_nodes_still_have_the_data() {
    let _machine = alone();
    the_cluster_goes_on_without(&["-election", "-wal"]);
}

/// The primary has moved away by plan, the bucket is gone, and the other node, which is started
/// alone, was stopped before the last writes: it says what it lacks. The cluster, who led, who
/// lacks, and what was acknowledged.
fn one_lacks_the_end() -> (Cluster, usize, usize, Vec<Ack>) {
    let mut cluster = Cluster::start(ClusterOptions::default());
    let first = cluster.wait_serving();
    let other = 1 - first;
    let writer = cluster.writer("end", LOAD);
    cluster.wait_acknowledged(&writer, 100);
    cluster.wait_follows(other);
    assert!(cluster.nodes[other].terminate(PATIENCE).success());
    cluster.wait_acknowledged(&writer, 200);
    let acks = writer.stop();
    assert!(cluster.nodes[first].terminate(PATIENCE).success());
    lose(&cluster, "-wal");
    cluster.nodes[other].start();
    cluster.wait_status(other, "that it lacks something", |status| {
        let words = status["problem"].as_str().unwrap_or_default();
        status["role"] == "PASSIVE" && words.contains("the lease was released at transaction ")
    });
    assert!(cluster.nodes[other].backends().is_empty(), "it serves without the end");
    (cluster, first, other, acks)
}

#[test]
fn a_node_that_lacks_what_was_released_leaves_the_lead_to_the_one_that_has_it() {
    let _machine = alone();
    let (mut cluster, first, other, acks) = one_lacks_the_end();
    let one = cluster.one_backend();
    cluster.nodes[first].start();
    cluster.wait_serves(first);
    let rows = cluster.rows(first, &acks);
    assert!(rows.lost(&acks, first, Instant::now()).acks.is_empty());
    cluster.wait_follows(other);
    one.assert_never_two();
}

#[test]
fn an_operator_who_knows_that_the_end_is_lost_goes_on_without_it() {
    let _machine = alone();
    let (cluster, first, other, acks) = one_lacks_the_end();
    cluster.nodes[other].ccm("promote", &[]).ok();
    cluster.wait_serves(other);
    let lost = cluster.rows(other, &acks).lost(&acks, first, Instant::now());
    assert!(lost.suffix && !lost.acks.is_empty(), "{:?}", lost.acks);
}
