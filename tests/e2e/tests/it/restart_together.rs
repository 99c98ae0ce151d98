//! Both nodes go down together and come back together.

use std::time::{Duration, Instant};

use ccm_harness::processes::Signal;
use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};
use serde_json::Value;

use crate::machine::{LOAD, alone};

/// What a crash may lose at most.
const LOST_AGE_MAX: Duration = Duration::from_millis(100);

#[test]
fn both_nodes_stopped_and_started_together_go_on_with_all_data() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let writer = cluster.writer("before", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);

    for node in &cluster.nodes {
        node.signal_daemon(Signal::TERM);
    }
    for node in &mut cluster.nodes {
        wait::until(PATIENCE, "both daemons to end", || node.ended());
    }
    assert!(cluster.nodes.iter().all(|node| node.backends().is_empty()));
    let before = writer.stop();

    for node in &mut cluster.nodes {
        node.start();
    }
    let serving = cluster.wait_serving();
    let writer = cluster.writer("after", LOAD);
    cluster.wait_acknowledged(&writer, 100);
    let mut acks = before;
    acks.extend(writer.stop());
    let rows = cluster.rows(serving, &acks);
    assert!(rows.lost(&acks, first, Instant::now()).acks.is_empty());
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    one.assert_never_two();
}

#[test]
fn both_hosts_lost_and_started_together_go_on_with_all_but_a_young_tail() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let writer = cluster.writer("before", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);

    let killed = cluster.kill_host(first);
    cluster.kill_host(1 - first);
    let before = writer.stop();

    for node in &mut cluster.nodes {
        node.start();
    }
    let serving = cluster.wait_serving();
    let lost = cluster.rows(serving, &before).lost(&before, first, killed);
    println!(
        "{} serves again; {} lost, the oldest {:?} old",
        cluster.nodes[serving].name,
        lost.acks.len(),
        lost.oldest_age
    );
    assert!(lost.suffix, "not a suffix: {:?}", lost.acks);
    if serving == first {
        // Nobody replaced it: it goes on from its own file.
        assert!(lost.acks.is_empty(), "lost from its own file: {:?}", lost.acks);
    }
    assert!(lost.oldest_age <= LOST_AGE_MAX, "lost: {:?}", lost.oldest_age);
    assert_eq!(cluster.integrity(serving), "ok");
    one.assert_never_two();
}

#[test]
fn a_primary_that_nobody_replaced_goes_on_from_its_own_file() {
    let _machine = alone();
    let options = ClusterOptions { nodes: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(options);
    for round in 0..3 {
        let writer = cluster.writer(&format!("round-{round}"), LOAD);
        cluster.wait_acknowledged(&writer, 200);
        cluster.kill_host(0);
        let acks = writer.stop();
        cluster.nodes[0].start();
        cluster.wait_serves(0);
        let lost = cluster.rows(0, &acks).lost(&acks, 0, Instant::now());
        assert!(lost.acks.is_empty(), "round {round} lost: {:?}", lost.acks);
        assert_eq!(cluster.integrity(0), "ok");
    }
}

/// What the records of a replica say: how far it is durable, and how far pages of it may be.
fn durable_and_begun(node: &ccm_harness::Node) -> (u64, u64) {
    let state = node
        .replica()
        .with_file_name(format!("{}-ccm", node.replica().file_name().unwrap().to_string_lossy()));
    let read = |name: &str| std::fs::read_to_string(state.join(name)).unwrap();
    let position: Value = serde_json::from_str(&read("position.json")).unwrap();
    let intents = serde_json::Deserializer::from_str(&read("intent.json"))
        .into_iter::<Value>()
        .map(|intent| intent.unwrap()["to"].as_u64().unwrap())
        .max();
    (position["txid"].as_u64().unwrap(), intents.unwrap())
}

#[test]
fn a_passive_that_is_stopped_under_load_leaves_a_replica_that_is_whole_without_the_bucket() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    let writer = cluster.writer("load", LOAD);
    for _ in 0..4 {
        cluster.wait_acknowledged(&writer, 100);
        cluster.wait_follows(1 - first);
        let passive = &mut cluster.nodes[1 - first];
        assert!(passive.terminate(PATIENCE).success(), "{}", passive.log_tail());
        let (durable, begun) = durable_and_begun(passive);
        assert_eq!(durable, begun, "pages are in the replica that only the bucket can complete");
        passive.start();
    }
    let acks = writer.stop();
    let rows = cluster.rows(first, &acks);
    assert!(rows.lost(&acks, first, Instant::now()).acks.is_empty());
}
