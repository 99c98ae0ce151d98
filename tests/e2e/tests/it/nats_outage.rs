//! NATS goes away, for shorter and for longer than the lease.

use std::time::{Duration, Instant};

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};

use crate::machine::{LOAD, alone};

#[test]
fn an_outage_shorter_than_the_lease_changes_nothing() {
    let _machine = alone();
    let options = ClusterOptions {
        ttl: Duration::from_secs(6),
        heartbeat: Duration::from_secs(1),
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::start(options);
    let one = cluster.one_backend();
    let writer = cluster.writer("short", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    let backends = cluster.nodes[first].backends();
    let epoch = cluster.nodes[first].status()["epoch"].clone();
    let failed = writer.failed();

    for _ in 0..3 {
        cluster.nats.kill();
        // About a second at this rate: the lease lasts at least four more.
        cluster.wait_acknowledged(&writer, LOAD as usize);
        cluster.nats.restart();
        let lease = cluster.lease_watch();
        let name = cluster.nodes[first].name.clone();
        wait::until(PATIENCE, "a renewal after the outage", || {
            lease.last_by(&name, Instant::now())
        });
        cluster.wait_status(first, "everything is shipped again", |status| {
            status["role"] == "PRIMARY" && status["replicationLagMs"].as_u64() < Some(1000)
        });
    }
    assert_eq!(cluster.nodes[first].backends(), backends, "the backend was replaced");
    assert_eq!(cluster.nodes[first].status()["epoch"], epoch);
    assert_eq!(writer.failed(), failed, "a client saw the outage");

    cluster.wait_follows(other);
    cluster.switchover(first, other).ok();
    cluster.wait_serves(other);
    let acks = writer.stop();
    let rows = cluster.rows(other, &acks);
    assert!(rows.lost(&acks, first, Instant::now()).acks.is_empty());
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
    one.assert_never_two();
}

#[test]
fn an_outage_longer_than_the_lease_stops_the_backend_in_time_and_it_comes_back_by_itself() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let lease = cluster.lease_watch();
    let writer = cluster.writer("long", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    let name = cluster.nodes[first].name.clone();
    wait::until(PATIENCE, "a renewal", || lease.last_by(&name, Instant::now()));

    cluster.nats.kill();
    let gone = wait::until(PATIENCE, "the backend to be stopped", || {
        cluster.nodes[first].backends().is_empty().then(Instant::now)
    });
    let renewed = lease.last_by(&name, gone).unwrap().at;
    // By then a standby that could reach NATS would take over.
    assert!(gone < renewed + cluster.options.ttl, "stopped {:?} after", gone - renewed);
    assert_eq!(cluster.serving(), None);

    cluster.nats.restart();
    let serving = cluster.wait_serving();
    cluster.wait_acknowledged(&writer, 300);
    let acks = writer.stop();
    let rows = cluster.rows(serving, &acks);
    let lost = rows.lost(&acks, first, gone);
    println!(
        "{} serves again; {} of {} acknowledged writes lost, the oldest {:?} old",
        cluster.nodes[serving].name,
        lost.acks.len(),
        acks.len(),
        lost.oldest_age
    );
    // Nobody's disk was lost: the node with the newest data is there and goes first.
    assert!(lost.acks.is_empty(), "lost {} writes", lost.acks.len());
    assert_eq!(cluster.integrity(serving), "ok");
    one.assert_never_two();
}
