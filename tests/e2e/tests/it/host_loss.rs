//! The loss of the primary's host under load.

use std::time::Duration;

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};
use serde_json::json;

use crate::machine::{LOAD, alone};

/// How often the host of the primary is lost in a row.
const ROUNDS: usize = 4;
/// What ccm may take beyond the lease.
const BEYOND_TTL: Duration = Duration::from_secs(1);
/// The backend's own start: fork, open, first healthy answer. Generous, because two cores are
/// shared by unoptimised builds of everything.
const BACKEND_START: Duration = Duration::from_secs(2);
/// How old an acknowledged write may be that is lost with the host.
const LOST_AGE_MAX: Duration = Duration::from_millis(100);

#[test]
fn the_other_node_serves_in_time_and_only_a_young_tail_is_lost() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let limit = cluster.options.ttl + BEYOND_TTL + BACKEND_START;
    for round in 0..ROUNDS {
        let first = cluster.wait_serving();
        let other = 1 - first;
        let writer = cluster.writer(&format!("round-{round}"), LOAD);
        cluster.wait_acknowledged(&writer, 300);
        cluster.wait_follows(other);
        cluster.wait_acknowledged(&writer, 300);

        let killed = cluster.kill_host(first);
        let back = wait::until(PATIENCE, "the other node to serve", || {
            writer.first_ack(killed, Some(first))
        });
        let took = back.at - killed;
        assert!(took <= limit, "taken over {took:?} after the kill, at most {limit:?}");
        cluster.wait_acknowledged(&writer, 300);
        let acks = writer.stop();

        let lost = cluster.rows(other, &acks).lost(&acks, first, killed);
        println!(
            "round {round}: served again after {took:?}; {} of {} acknowledged writes lost, the \
             oldest {:?} old",
            lost.acks.len(),
            acks.len(),
            lost.oldest_age
        );
        assert!(lost.suffix, "not a suffix: {:?}", lost.acks);
        assert!(lost.oldest_age <= LOST_AGE_MAX, "lost: {:?}", lost.oldest_age);
        assert_eq!(cluster.integrity(other), "ok");

        cluster.nodes[first].start();
        cluster.wait_follows(first);
    }
    one.assert_never_two();
}

#[test]
fn a_node_that_is_no_candidate_takes_over_from_a_lost_host_when_it_is_promoted() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let one = cluster.one_backend();
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    assert!(cluster.nodes[other].terminate(PATIENCE).success());
    cluster.nodes[other].edit_config(|config| config["node"] = json!({ "candidate": false }));
    cluster.nodes[other].start();
    cluster.wait_follows(other);

    cluster.kill_host(first);
    let (lost, next) = (cluster.nodes[first].name.clone(), cluster.nodes[other].name.clone());
    // The lease has not ended, and nobody is there who could hand it over.
    let ran = cluster.nodes[other].ccm("promote", &[]).ok();
    assert_eq!(
        ran.out,
        format!(
            "Attempting to promote node {next} to leader...\n  {lost} leads and does not answer: \
             {next} takes over when its lease ends\n✓ Successfully promoted to leader\n"
        )
    );
    assert!(cluster.nodes[other].serves());
    cluster.nodes[first].start();
    cluster.wait_follows(first);
    one.assert_never_two();
}
