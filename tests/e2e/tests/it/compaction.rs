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
