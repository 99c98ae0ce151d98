//! NATS loses its storage while both nodes are down.

use std::time::Instant;

use ccm_harness::processes::Signal;
use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};
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
