//! Nodes that come and go while the cluster serves.

use std::time::Instant;

use ccm_harness::{Cluster, ClusterOptions};

use crate::machine::{LOAD, alone};

#[test]
fn a_new_node_joins_with_all_data_and_can_be_made_primary() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let before = cluster.writer("before", LOAD);
    cluster.wait_acknowledged(&before, 600);
    let mut acks = before.stop();

    let third = cluster.add_node("node-3");
    let joined = cluster.nodes[third].ccm("join", &[]).ok();
    for line in ["Joining cluster test as node node-3", "Successfully joined cluster"] {
        assert!(joined.out.contains(line), "join does not say {line:?}: {}", joined.out);
    }
    cluster.nodes[third].start();
    cluster.wait_follows(third);
    let writer = cluster.writer("after", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    cluster.switchover(first, third).ok();
    cluster.wait_serves(third);
    cluster.wait_acknowledged(&writer, 300);

    acks.extend(writer.stop());
    let rows = cluster.rows(third, &acks);
    let lost = rows.lost(&acks, first, Instant::now());
    assert!(lost.acks.is_empty(), "lost: {:?}", lost.acks);
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    one.assert_never_two();
}

#[test]
fn a_primary_that_leaves_hands_over_and_loses_nothing() {
    let _machine = alone();
    let cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let writer = cluster.writer("leave", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);

    cluster.nodes[first].ccm("leave", &[]).ok();
    cluster.wait_serves(other);
    cluster.wait_acknowledged(&writer, 300);
    let name = cluster.nodes[first].name.clone();
    cluster.wait_status(other, "the node that left is not listed", |status| {
        let nodes = status["nodes"].as_array();
        nodes.is_some_and(|nodes| nodes.iter().all(|node| node["nodeId"] != name.as_str()))
    });

    let acks = writer.stop();
    let rows = cluster.rows(other, &acks);
    let lost = rows.lost(&acks, first, Instant::now());
    assert!(lost.acks.is_empty(), "lost: {:?}", lost.acks);
    one.assert_never_two();
}
