//! Addresses that are where they should not be.

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, VIP, in_lan, wait};

use super::on_two_hosts;
use crate::machine::alone;

#[test]
fn what_a_killed_node_leaves_is_taken_over_loudly_and_taken_off_at_its_start() {
    on_two_hosts(ClusterOptions::default(), |lan, cluster, first, other| {
        // Everything of ccm, while the kernel goes on answering for the address.
        cluster.kill_host(first);
        cluster.wait_serves(other);
        let hosts = cluster.hosts();
        wait::until(PATIENCE, "the other to have it", || hosts[other].has(VIP).then_some(()));
        assert!(hosts[first].has(VIP), "nobody was there to take it off");
        let mac = hosts[first].mac();
        cluster.wait_status(other, "who else has it", |status| {
            status["problem"].as_str().is_some_and(|words| words.contains(&mac))
        });
        let log = std::fs::read_to_string(cluster.nodes[other].log()).unwrap();
        let warned = log.lines().any(|line| line.contains("WARN") && line.contains(&mac));
        assert!(warned, "no warning names {mac}");

        cluster.nodes[first].start();
        cluster.wait_vip(other);
        cluster.wait_follows(first);
        cluster.wait_answers_at_vip(lan, other);
    });
}

#[test]
fn a_passive_that_has_it_at_its_start_takes_it_off() {
    on_two_hosts(ClusterOptions::default(), |_, cluster, first, other| {
        assert!(cluster.nodes[other].terminate(PATIENCE).success());
        cluster.hosts()[other].ip("address add 10.77.0.100/24 dev eth0");
        cluster.nodes[other].start();
        cluster.wait_vip(first);
        cluster.wait_follows(other);
    });
}

#[test]
fn what_is_left_is_taken_off_without_nats() {
    let _machine = alone();
    in_lan(|lan| {
        let options = ClusterOptions { nodes: 1, ..ClusterOptions::default() };
        let mut cluster = Cluster::prepare_on(lan, options);
        cluster.nats.kill();
        cluster.hosts()[0].ip("address add 10.77.0.100/32 dev eth0");
        cluster.nodes[0].start();
        wait::until(PATIENCE, "it to be taken off", || {
            (!cluster.hosts()[0].has(VIP)).then_some(())
        });
        cluster.nats.restart();
        cluster.wait_serving();
        cluster.wait_vip(0);
    });
}
