//! Every metric that should move moves.

use std::path::Path;
use std::process::{Command, Stdio};

use ccm_harness::{Cluster, ClusterOptions, Exposition, Http, Node, PATIENCE, promtool, wait};

use super::{address, scrape, start};
use crate::machine::beside_others;

/// The names and labels of the seed.
const CONTRACT: [(&str, &str, &[&str]); 8] = [
    ("convex_cluster_is_leader", "gauge", &["cluster", "node"]),
    ("convex_cluster_leader_epoch", "gauge", &["cluster"]),
    ("convex_cluster_backend_status", "gauge", &["cluster", "node", "status"]),
    ("convex_cluster_backend_uptime_seconds", "gauge", &["cluster", "node"]),
    ("convex_cluster_replication_lag_ms", "gauge", &["cluster", "node"]),
    ("convex_cluster_wal_bytes_total", "counter", &["cluster", "node"]),
    ("convex_cluster_services_total", "gauge", &["cluster", "service"]),
    ("convex_cluster_services_healthy", "gauge", &["cluster", "service"]),
];

/// Scrapes until the sample has a value that `holds`; the value.
fn wait_value(
    node: &Node,
    name: &str,
    labels: &[(&str, &str)],
    holds: impl Fn(f64) -> bool,
) -> f64 {
    let what = format!("{name} {labels:?} of {} to be as expected", node.name);
    wait::until(PATIENCE, &what, || scrape(node).value(name, labels).filter(|value| holds(*value)))
}

fn is(expected: f64) -> impl Fn(f64) -> bool {
    move |value| (value - expected).abs() < f64::EPSILON
}

/// Both formats of one node have the same families, types and words.
fn check_formats(node: &Node) {
    let mut http = Http::at(address(node, "metrics"), PATIENCE);
    let accept = "accept: application/openmetrics-text; version=1.0.0, text/plain;q=0.5";
    let open = Exposition::open_metrics(&http.get_with("/metrics", accept).unwrap().1);
    let text = Exposition::prometheus(&http.get("/metrics").unwrap().1);
    let shown = |read: &Exposition| {
        let families = read.families.iter();
        families.map(|(name, one)| (name.clone(), one.kind.clone(), one.help.clone())).collect()
    };
    let (open, text): (Vec<_>, Vec<_>) = (shown(&open), shown(&text));
    assert_eq!(open, text);
}

/// What `promtool check metrics` says of a scrape, beyond the names that are contract.
fn lint(node: &Node, dir: &Path) -> Vec<String> {
    let body = Http::at(address(node, "metrics"), PATIENCE).get("/metrics").unwrap().1;
    let file = dir.join("scrape.txt");
    std::fs::write(&file, body).unwrap();
    let mut check = Command::new(promtool());
    check.args(["check", "metrics"]).stdin(Stdio::from(std::fs::File::open(&file).unwrap()));
    let said = check.output().unwrap();
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().filter(|line| !line.starts_with("convex_cluster_")).map(String::from).collect()
}

/// What a peer may write that is neither a node record nor an event.
fn garbage(cluster: &Cluster) {
    for subject in ["$KV.convex-test-state.nodes.other", "convex.test.history.other.role"] {
        let stored = cluster.nats.request(subject, &serde_json::json!({ "no": "record" }));
        assert!(stored["seq"].is_u64(), "{stored}");
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one cluster lives through everything that moves a metric"
)]
fn the_metrics_of_two_nodes_move_with_what_happens() {
    let _turn = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions::default());
    for node in &mut cluster.nodes {
        super::listen(node);
        let port = node.port;
        node.edit_config(|config| {
            config["services"]["http"] =
                serde_json::json!({ "port": port, "protocol": "http", "healthPath": "/health" });
        });
        node.start();
    }
    let serving = cluster.wait_serving();
    let other = 1 - serving;
    cluster.wait_follows(other);
    let (primary, passive) = (&cluster.nodes[serving], &cluster.nodes[other]);

    // Who leads, and what runs.
    wait_value(primary, "convex_cluster_is_leader", &[("node", &primary.name)], is(1.0));
    wait_value(passive, "convex_cluster_is_leader", &[("node", &passive.name)], is(0.0));
    let epoch = wait_value(primary, "convex_cluster_leader_epoch", &[], |value| value >= 1.0);
    wait_value(passive, "convex_cluster_leader_epoch", &[], is(epoch));
    wait_value(primary, "convex_cluster_backend_status", &[("status", "running")], is(1.0));
    wait_value(passive, "convex_cluster_backend_status", &[("status", "stopped")], is(1.0));
    wait_value(primary, "convex_cluster_backend_uptime_seconds", &[], |value| value > 0.0);
    wait_value(passive, "convex_cluster_backend_uptime_seconds", &[], is(0.0));
    wait_value(primary, "ccm_phase", &[("phase", "primary")], is(1.0));
    wait_value(passive, "ccm_phase", &[("phase", "passive")], is(1.0));
    wait_value(primary, "ccm_lease_remaining_seconds", &[], |value| 0.0 < value && value <= 3.0);
    assert_eq!(scrape(passive).value("ccm_lease_remaining_seconds", &[]), None);
    let renewals = scrape(primary).value("ccm_lease_renew_seconds_count", &[]).unwrap();
    wait_value(primary, "ccm_lease_renew_seconds_count", &[], |value| value > renewals + 2.0);
    wait_value(primary, "ccm_promotion_seconds_count", &[], is(1.0));
    wait_value(primary, "ccm_failover_phase_seconds_count", &[("phase", "start_backend")], is(1.0));

    // What is shipped.
    let read = scrape(primary);
    let count = |name| read.value(name, &[]).unwrap();
    let (bytes, txid) = (count("convex_cluster_wal_bytes_total"), count("ccm_txid"));
    let shipped = count("ccm_ship_seconds_count");
    let writer = cluster.writer("w", 50);
    cluster.wait_acknowledged(&writer, 20);
    wait_value(primary, "convex_cluster_wal_bytes_total", &[], |value| value > bytes);
    wait_value(primary, "ccm_ship_seconds_count", &[], |value| value > shipped);
    let tip = wait_value(primary, "ccm_txid", &[], |value| value > txid);
    wait_value(passive, "ccm_txid", &[], |value| value >= tip);
    wait_value(passive, "ccm_apply_seconds_count", &[], |value| value >= 1.0);
    let acks = writer.stop();
    assert!(!acks.is_empty());
    wait_value(primary, "convex_cluster_replication_lag_ms", &[], is(0.0));
    wait_value(primary, "ccm_unshipped_bytes", &[], is(0.0));
    wait_value(passive, "convex_cluster_replication_lag_ms", &[], is(0.0));
    wait_value(primary, "ccm_bucket_objects", &[("level", "9")], |value| value >= 1.0);
    wait_value(primary, "ccm_bucket_objects", &[("level", "0")], |value| value >= 1.0);
    wait_value(passive, "ccm_bucket_bytes", &[("level", "9")], |value| value > 0.0);
    wait_value(passive, "ccm_snapshot_age_seconds", &[], |value| value >= 0.0);
    wait_value(passive, "ccm_nats_rtt_seconds", &[], |value| value > 0.0);
    wait_value(passive, "ccm_nats_connected", &[], is(1.0));
    wait_value(passive, "ccm_nats_connects_total", &[], |value| value >= 1.0);
    wait_value(passive, "ccm_restore_bytes_total", &[], |value| value > 0.0);
    wait_value(passive, "ccm_restore_seconds_total", &[], |value| value > 0.0);
    wait_value(passive, "ccm_nodes", &[], is(2.0));
    wait_value(passive, "ccm_history_published_total", &[], |value| value >= 1.0);
    wait_value(passive, "ccm_history_waiting", &[], is(0.0));
    garbage(&cluster);
    wait_value(passive, "ccm_nodes_ignored_total", &[], is(1.0));
    wait_value(passive, "ccm_history_ignored_total", &[], is(1.0));

    // The services.
    wait_value(passive, "convex_cluster_services_total", &[("service", "http")], is(2.0));
    wait_value(passive, "convex_cluster_services_healthy", &[("service", "http")], is(1.0));

    for node in [primary, passive] {
        let read = scrape(node);
        for (name, kind, labels) in CONTRACT {
            let family = &read.families[name];
            assert_eq!(family.kind, kind, "{name}");
            for (_, has, _) in &family.samples {
                assert_eq!(has.keys().collect::<Vec<_>>(), labels, "{name}");
                assert_eq!(has["cluster"], cluster.options.id);
            }
        }
        check_formats(node);
        assert_eq!(lint(node, cluster.dir()), Vec::<String>::new());
    }

    // A planned move, then the loss of a host.
    assert_eq!(cluster.switchover(serving, other).code, Some(0));
    let (primary, passive) = (&cluster.nodes[other], &cluster.nodes[serving]);
    wait_value(primary, "ccm_failovers_total", &[("reason", "planned")], is(1.0));
    wait_value(primary, "ccm_promotion_seconds_count", &[], is(1.0));
    wait_value(primary, "convex_cluster_is_leader", &[], is(1.0));
    wait_value(passive, "ccm_failover_phase_seconds_count", &[("phase", "flush")], is(1.0));
    cluster.wait_follows(serving);
    cluster.kill_host(other);
    let survivor = &cluster.nodes[serving];
    wait_value(survivor, "ccm_failovers_total", &[("reason", "expired")], is(1.0));
    wait_value(survivor, "convex_cluster_leader_epoch", &[], is(epoch + 2.0));
    wait_value(survivor, "ccm_promotion_seconds_count", &[], is(2.0));
}

#[test]
fn an_outage_of_nats_is_seen_and_what_is_unknown_is_absent() {
    let _turn = beside_others();
    let mut cluster = start(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    wait_value(&cluster.nodes[0], "ccm_problem", &[], is(0.0));
    cluster.nats.kill();
    let node = &cluster.nodes[0];
    wait_value(node, "ccm_nats_connected", &[], is(0.0));
    assert_eq!(scrape(node).value("ccm_nats_rtt_seconds", &[]), None);
    assert_eq!(scrape(node).value("convex_cluster_services_total", &[]), None);
    wait_value(node, "ccm_problem", &[], is(1.0));
    wait_value(node, "ccm_lease_losses_total", &[("reason", "expired")], is(1.0));
    wait_value(node, "ccm_lease_renew_failures_total", &[], |value| value > 0.0);
    wait_value(node, "ccm_history_waiting", &[], |value| value > 0.0);
    wait_value(node, "convex_cluster_is_leader", &[], is(0.0));
    wait_value(node, "convex_cluster_backend_status", &[("status", "running")], is(0.0));
}
