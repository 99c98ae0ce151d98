//! A snapshot when an operator wants one.

use ccm_harness::{Cluster, ClusterOptions};

use crate::machine::{LOAD, beside_others};

/// The snapshots in the bucket, as `ccm ltx list` names them.
fn snapshots(cluster: &Cluster, node: usize) -> Vec<String> {
    let listed = cluster.nodes[node].ccm("ltx", &["list", "--level", "9", "--json"]).ok().json();
    let names = listed["files"].as_array().unwrap().iter();
    names.map(|file| String::from(file["name"].as_str().unwrap())).collect()
}

#[test]
fn a_snapshot_asked_for_on_any_node_is_in_the_bucket_and_holds_what_was_committed_before() {
    let _machine = beside_others();
    let cluster = Cluster::start(ClusterOptions::default());
    let primary = cluster.wait_serving();
    let passive = 1 - primary;
    let writer = cluster.writer("snapshot", LOAD);
    cluster.wait_follows(passive);
    let mut last = 0;
    for node in [primary, passive, passive] {
        cluster.wait_acknowledged(&writer, 50);
        cluster.wait_status(primary, "more than the last snapshot", |status| {
            status["txid"].as_u64().is_some_and(|txid| txid > last)
        });
        let before = cluster.nodes[primary].status()["txid"].as_u64().unwrap();
        let taken = cluster.nodes[node].ccm("snapshot", &["--json"]).ok().json();
        assert_eq!(taken["ok"], true);
        assert_eq!(taken["node"], cluster.nodes[primary].name.as_str());
        last = taken["txid"].as_u64().unwrap();
        assert!(last >= before, "{last} is before {before}: {taken:#}");
        let name = String::from(taken["name"].as_str().unwrap());
        assert!(snapshots(&cluster, node).contains(&name), "{name}");
        assert!(taken["size"].as_u64().unwrap() > 0, "{taken:#}");
    }
    let acks = writer.stop();
    let idle = cluster.nodes[passive].ccm("snapshot", &[]).ok();
    assert!(idle.out.contains("is the PRIMARY: asking it to take a snapshot...\n"), "{}", idle.out);
    let known = snapshots(&cluster, passive);
    let again = cluster.nodes[primary].ccm("snapshot", &[]).ok();
    assert!(again.out.contains("Taking a snapshot on "), "{}", again.out);
    assert_eq!(snapshots(&cluster, passive), known, "nothing was committed in between");
    cluster.nodes[passive].ccm("ltx", &["verify"]).ok();
    let rows = cluster.rows(primary, &acks);
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
}

#[test]
fn a_timeout_says_that_the_snapshot_goes_on() {
    let _machine = beside_others();
    let cluster = Cluster::start(ClusterOptions::default());
    let primary = cluster.wait_serving();
    let ran = cluster.nodes[primary].ccm("snapshot", &["--timeout", "1ns"]);
    assert_eq!(ran.code, Some(75), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("is not in the bucket after 0 s: it goes on"), "{}", ran.err);
}
