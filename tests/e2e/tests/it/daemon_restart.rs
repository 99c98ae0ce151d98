//! The daemon alone is killed and comes back within the lease.

use std::time::Duration;

use ccm_harness::{Cluster, ClusterOptions};

use crate::machine::{LOAD, alone};

/// How often in a row.
const ROUNDS: usize = 5;

#[test]
fn kill_9_of_the_daemon_alone_and_back_within_the_lease_is_not_a_failover() {
    let _machine = alone();
    let options = ClusterOptions {
        ttl: Duration::from_secs(5),
        heartbeat: Duration::from_secs(1),
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::start(options);
    let one = cluster.one_backend();
    let writer = cluster.writer("restart", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    let backends = cluster.nodes[first].backends();
    let epoch = cluster.nodes[first].status()["epoch"].clone();
    // Tries against the passive node's port aside, nothing fails from here on.
    let failed = writer.failed();

    for _ in 0..ROUNDS {
        cluster.nodes[first].kill_daemon();
        cluster.nodes[first].start();
        let status = cluster.wait_status(first, "PRIMARY and running", |status| {
            status["role"] == "PRIMARY" && status["backendStatus"] == "running"
        });
        assert_eq!(status["epoch"], epoch, "{status:#}");
        assert_eq!(cluster.nodes[first].backends(), backends, "the backend was replaced");
        cluster.wait_acknowledged(&writer, 300);
    }
    assert_eq!(writer.failed(), failed, "a client saw the restarts");

    // What was written meanwhile is replicated: a planned move finds all of it.
    let other = 1 - first;
    cluster.wait_follows(other);
    cluster.switchover(first, other).ok();
    cluster.wait_serves(other);
    let acks = writer.stop();
    let rows = cluster.rows(other, &acks);
    assert!(rows.lost(&acks, first, std::time::Instant::now()).acks.is_empty());
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    one.assert_never_two();
}
