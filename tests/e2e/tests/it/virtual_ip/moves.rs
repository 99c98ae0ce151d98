//! It goes where the leadership goes.

use std::time::Instant;

use ccm_harness::{ClusterOptions, PATIENCE, wait};

use super::on_two_hosts;
use crate::history::told;

/// Planned moves in a row.
const MOVES: usize = 4;

#[test]
fn a_host_that_is_lost_loses_it_to_the_other_where_clients_find_it() {
    on_two_hosts(ClusterOptions::default(), |lan, cluster, first, other| {
        cluster.wait_answers_at_vip(lan, first);
        if let Some(host) = &cluster.nodes[first].host {
            host.unplug();
        }
        cluster.kill_host(first);
        cluster.wait_serves(other);
        cluster.wait_answers_at_vip(lan, other);
        let failover = wait::until(PATIENCE, "the history to tell of the failover", || {
            told(&cluster.nodes[other], "failover").pop()
        });
        assert!(failover["details"]["phases"]["vipMs"].is_u64(), "{failover:#}");

        // Switched on again.
        cluster.nodes[first].host = Some(lan.plug(u8::try_from(first + 1).unwrap()));
        let one = cluster.one_holder();
        cluster.nodes[first].start();
        cluster.wait_follows(first);
        cluster.wait_vip(other);
        one.assert_never_two();
        assert_eq!(one.last_on(first), None, "a passive had it");
    });
}

#[test]
fn planned_moves_take_it_off_before_the_lease_is_given_away_and_two_never_have_it() {
    on_two_hosts(ClusterOptions::default(), |lan, cluster, first, _| {
        let one = cluster.one_holder();
        let lease = cluster.lease_watch();
        let mut serving = first;
        for number in 0..MOVES {
            let target = 1 - serving;
            cluster.wait_follows(target);
            let asked = Instant::now();
            cluster.switchover(number % 2, target).ok();
            cluster.wait_serves(target);
            cluster.wait_vip(target);
            cluster.wait_answers_at_vip(lan, target);
            let name = &cluster.nodes[serving].name;
            let released = wait::until(PATIENCE, "the release of the lease", || {
                let mut writes = lease.writes().into_iter();
                writes.find(|write| write.released && write.node == *name && write.at > asked)
            });
            let last = one.last_on(serving).unwrap();
            assert!(last < released.at, "on {name} {:?} after the release", last - released.at);
            serving = target;
        }
        one.assert_never_two();
    });
}

#[test]
fn sigterm_of_the_primarys_daemon_takes_it_off() {
    on_two_hosts(ClusterOptions::default(), |_, cluster, first, other| {
        let one = cluster.one_holder();
        let status = cluster.nodes[first].terminate(PATIENCE);
        assert!(status.success(), "the daemon ended with {status}");
        assert!(!cluster.hosts()[first].has(ccm_harness::VIP), "it outlived its daemon's stop");
        cluster.wait_serves(other);
        cluster.wait_vip(other);
        one.assert_never_two();
    });
}
