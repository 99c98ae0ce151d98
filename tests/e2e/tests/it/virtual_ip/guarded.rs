//! It ends with the lease, also without a daemon, and not before.

use std::time::{Duration, Instant};

use ccm_harness::processes::Signal;
use ccm_harness::{Cluster, ClusterOptions, PATIENCE, VIP, wait};
use serde_json::json;

use super::on_two_hosts;

/// How often the daemon is restarted in a row.
const ROUNDS: usize = 3;

/// Takes the primary's daemon out with `strike` and checks that backend and address are gone
/// before the lease can be taken.
fn without_a_daemon(strike: impl FnOnce(&mut Cluster, usize) + Send) {
    on_two_hosts(ClusterOptions::default(), |_, cluster, first, other| {
        let (holder, backend) = (cluster.one_holder(), cluster.one_backend());
        let lease = cluster.lease_watch();
        let name = cluster.nodes[first].name.clone();
        wait::until(PATIENCE, "a renewal", || lease.last_by(&name, Instant::now()));
        strike(cluster, first);
        let gone = wait::until(PATIENCE, "backend and address without a daemon to go", || {
            let left =
                cluster.hosts()[first].has(VIP) || !cluster.nodes[first].backends().is_empty();
            (!left).then(Instant::now)
        });
        let renewed = lease.last_by(&name, gone).unwrap().at;
        assert!(gone < renewed + cluster.options.ttl, "gone {:?} after", gone - renewed);
        cluster.wait_serves(other);
        cluster.wait_vip(other);
        // One that was only stopped does not take the address back before it looks around.
        cluster.nodes[first].signal_daemon(Signal::CONT);
        let looks = holder.looks() + 100;
        wait::until(PATIENCE, "looks", || (holder.looks() > looks).then_some(()));
        cluster.wait_vip(other);
        holder.assert_never_two();
        backend.assert_never_two();
    });
}

#[test]
fn a_killed_daemon_that_does_not_come_back_leaves_no_address_past_the_lease() {
    without_a_daemon(|cluster, first| {
        cluster.nodes[first].kill_daemon();
        // A unit's ExecStopPost does not take away what the guard still covers.
        let ran = cluster.nodes[first].ccm("vip", &["release"]);
        assert_eq!(ran.code, Some(75), "{ran:?}");
        assert!(
            ran.err.contains("10.77.0.100/24 was left on: this node is PRIMARY"),
            "{}",
            ran.err
        );
        assert!(cluster.hosts()[first].has(VIP));
    });
}

#[test]
fn a_hung_daemon_leaves_no_address_past_the_lease_and_does_not_take_it_back() {
    without_a_daemon(|cluster, first| cluster.nodes[first].signal_daemon(Signal::STOP));
}

#[test]
fn a_daemon_that_is_back_within_the_lease_finds_the_address_where_it_was() {
    let options = ClusterOptions {
        ttl: Duration::from_secs(6),
        heartbeat: Duration::from_secs(1),
        ..ClusterOptions::default()
    };
    on_two_hosts(options, |_, cluster, first, _| {
        let one = cluster.one_holder();
        let backends = cluster.nodes[first].backends();
        for _ in 0..ROUNDS {
            cluster.nodes[first].kill_daemon();
            cluster.nodes[first].start();
            cluster.wait_status(first, "PRIMARY with the address", |status| {
                status["role"] == "PRIMARY"
                    && status["backendStatus"] == "running"
                    && status["vip"] == json!({ "address": "10.77.0.100/24", "held": true })
            });
        }
        let looks = one.looks();
        wait::until(PATIENCE, "another look", || (one.looks() > looks).then_some(()));
        assert_eq!(one.missed_on(first), 0, "it was away");
        assert_eq!(cluster.nodes[first].backends(), backends, "the backend was replaced");
        one.assert_never_two();
    });
}

#[test]
fn another_address_in_the_configuration_replaces_the_former_one() {
    let options = ClusterOptions {
        ttl: Duration::from_secs(6),
        heartbeat: Duration::from_secs(1),
        ..ClusterOptions::default()
    };
    on_two_hosts(options, |_, cluster, first, other| {
        let next = "10.77.0.101".parse().unwrap();
        for node in &cluster.nodes {
            node.edit_config(|config| config["vip"]["address"] = json!(next));
        }
        let backends = cluster.nodes[first].backends();
        for index in [first, other] {
            cluster.nodes[index].kill_daemon();
            cluster.nodes[index].start();
        }
        let hosts = cluster.hosts();
        let has = |index: usize, address| hosts[index].has(address);
        wait::until(PATIENCE, "the new address in the place of the former", || {
            (has(first, next) && !has(first, VIP)).then_some(())
        });
        // The guard of the backend that goes on does not know it yet.
        let problem = "keeps the lease's deadline for another virtual IP (10.77.0.100/24 on eth0)";
        cluster.wait_status(first, "that its guard is outdated", |status| {
            status["problem"].as_str().is_some_and(|words| words.contains(problem))
        });
        assert_eq!(cluster.nodes[first].backends(), backends, "the backend was replaced");
        cluster.wait_follows(other);
        cluster.switchover(first, other).ok();
        cluster.wait_serves(other);
        cluster.wait_follows(first);
        cluster.switchover(first, first).ok();
        cluster.wait_serves(first);
        cluster.wait_status(first, "that all is well", |status| status["problem"].is_null());
        cluster.nodes[first].kill_daemon();
        wait::until(PATIENCE, "the guard to take the new address off", || {
            (!has(first, next)).then_some(())
        });
    });
}
