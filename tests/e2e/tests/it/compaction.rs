//! The primary keeps the bucket small while it serves.

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};
use serde_json::json;

use crate::machine::{LOAD, beside_others};

/// How the names of level-1 files begin: `ltx/1/` in base64.
const LEVEL_1: &str = "$O.convex-test-wal.M.bHR4LzEv";

/// Waits until the bucket has so many files of level 1.
fn wait_compacted(cluster: &Cluster, count: usize) {
    wait::until(PATIENCE, "files of level 1 in the bucket", || {
        let all = json!({ "subjects_filter": "$O.convex-test-wal.M.>" });
        let info = cluster.nats.request("$JS.API.STREAM.INFO.OBJ_convex-test-wal", &all);
        let subjects = info["state"]["subjects"].as_object()?;
        let found = subjects.keys().filter(|subject| subject.starts_with(LEVEL_1)).count();
        (found >= count).then_some(())
    });
}

#[test]
fn every_primary_compacts_under_load_and_a_move_loses_nothing() {
    let _machine = beside_others();
    let cluster = Cluster::start(ClusterOptions::default());
    let writer = cluster.writer("compaction", LOAD);
    let first = cluster.wait_serving();
    wait_compacted(&cluster, 1);
    let other = 1 - first;
    cluster.wait_follows(other);
    cluster.switchover(first, other).ok();
    cluster.wait_serves(other);
    cluster.wait_acknowledged(&writer, 100);
    wait_compacted(&cluster, 2);

    let acks = writer.stop();
    let rows = cluster.rows(other, &acks);
    let lost = rows.lost(&acks, other, std::time::Instant::now());
    assert!(lost.acks.is_empty(), "lost: {:?}", lost.acks);
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    assert_eq!(cluster.integrity(other), "ok");
}

/// The names of the snapshots in the bucket.
fn snapshots(cluster: &Cluster) -> Vec<String> {
    let listed = cluster.nodes[0].ccm("ltx", &["list", "--level", "9", "--json"]).ok().json();
    let files = listed["files"].as_array().unwrap().iter();
    files.map(|file| String::from(file["name"].as_str().unwrap())).collect()
}

#[test]
fn snapshots_come_and_go_as_the_configuration_says() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions::default());
    for node in &mut cluster.nodes {
        node.edit_config(|config| {
            config["wal"]["snapshotIntervalMs"] = json!(1000);
            config["wal"]["streamRetention"] = json!("1s");
        });
        node.start();
    }
    let primary = cluster.wait_serving();
    let writer = cluster.writer("retention", LOAD);
    let first = wait::until(PATIENCE, "three snapshots without being asked for", || {
        let found = snapshots(&cluster);
        (found.len() >= 3).then_some(found)
    });
    wait::until(PATIENCE, "the first of them to go", || {
        let found = snapshots(&cluster);
        first.iter().all(|name| !found.contains(name)).then_some(())
    });
    let acks = writer.stop();
    cluster.wait_status(primary, "everything shipped", |status| status["unshippedBytes"] == 0);
    cluster.nodes[primary].ccm("ltx", &["verify"]).ok();
    let output = cluster.dir().join("restored.db").display().to_string();
    cluster.nodes[primary].ccm("restore", &["--output", &output]).ok();
    assert!(cluster.rows(primary, &acks).holes().is_empty());
}
