//! What the nodes offer, as operators and Prometheus see it.

mod prometheus;

use std::net::SocketAddr;

use ccm_harness::{Cluster, ClusterOptions, Node, PATIENCE, in_lan, wait};
use serde_json::{Value, json};

use crate::machine::{alone, beside_others};

/// The services of the seed's sample, the first at the port of the backend.
pub(crate) fn offer(node: &Node) {
    let port = node.port;
    node.edit_config(|config| {
        config["services"] = json!({
            "http": {
                "port": port, "protocol": "http", "path": "/", "healthPath": "/health",
                "healthCheck": { "intervalMs": 200, "timeoutMs": 200 },
                "metadata": { "version": "1.0.0", "docs": "/api/docs" },
                "tags": ["api", "public"],
            },
            "metrics": {
                "port": 9090, "protocol": "http", "path": "/metrics",
                "metadata": { "format": "prometheus", "scrape_interval": "15s" },
                "tags": ["monitoring", "prometheus"],
            },
            "syslog": {
                "port": 1514, "protocol": "tcp",
                "metadata": { "format": "rfc5424", "facility": "local0" },
                "tags": ["logging", "syslog"],
            },
        });
    });
}

/// Prepared with services, and started.
fn start(options: ClusterOptions) -> Cluster {
    let mut cluster = Cluster::prepare(options);
    for node in &mut cluster.nodes {
        offer(node);
        node.start();
    }
    cluster
}

/// `SERVICE NODE HEALTH` of every line of `ccm services list`.
fn health(node: &Node) -> Vec<String> {
    let ran = node.ccm("services", &["list"]);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5])
    };
    ran.out.lines().skip(1).map(line).collect()
}

/// Waits until `ccm services list` on `node` says this of the services.
fn wait_health(node: &Node, expected: &[&str]) {
    let what = format!("the services to be {expected:?}");
    wait::until(PATIENCE, &what, || (health(node) == expected).then_some(()));
}

/// What `http` is on each node, when `serving` serves, and the others as the seed says.
fn as_the_seed_says(serving: usize) -> [String; 6] {
    let http = |index| if index == serving { "passing" } else { "standby" };
    [
        format!("http node-1 {}", http(0)),
        format!("http node-2 {}", http(1)),
        String::from("metrics node-1 passing"),
        String::from("metrics node-2 passing"),
        String::from("syslog node-1 passing"),
        String::from("syslog node-2 passing"),
    ]
}

fn wait_as_the_seed_says(node: &Node, serving: usize) {
    let expected = as_the_seed_says(serving);
    wait_health(node, &expected.each_ref().map(String::as_str));
}

#[test]
fn the_health_follows_the_role_through_a_planned_move_and_the_loss_of_a_host() {
    let _machine = alone();
    let mut cluster = start(ClusterOptions::default());
    let first = cluster.wait_serving();
    let other = 1 - first;
    wait_as_the_seed_says(&cluster.nodes[other], first);
    cluster.wait_follows(other);
    cluster.switchover(first, other).ok();
    wait_as_the_seed_says(&cluster.nodes[first], other);
    cluster.wait_follows(first);

    cluster.kill_host(other);
    cluster.wait_serves(first);
    let name = &cluster.nodes[first].name;
    let left = [format!("http {name} passing"), format!("metrics {name} passing")];
    let syslog = format!("syslog {name} passing");
    // What the dead node has said last is forgotten.
    wait_health(&cluster.nodes[first], &[&left[0], &left[1], &syslog]);
}

#[test]
fn a_node_that_ends_or_leaves_takes_its_services_with_it() {
    let _machine = alone();
    let mut cluster = start(ClusterOptions::default());
    let first = cluster.wait_serving();
    let other = 1 - first;
    wait_as_the_seed_says(&cluster.nodes[first], first);
    cluster.wait_follows(other);
    assert!(cluster.nodes[other].terminate(PATIENCE).success());
    let of = |index: usize| {
        let filter = ["list", "--json", "--node", &cluster.nodes[index].name];
        let told = cluster.nodes[first].ccm("services", &filter).json();
        told["services"].as_array().map_or(usize::MAX, Vec::len)
    };
    assert_eq!((of(first), of(other)), (3, 0), "the records outlive the end of the daemon");

    cluster.nodes[other].start();
    wait_as_the_seed_says(&cluster.nodes[first], first);
    cluster.wait_follows(other);
    cluster.nodes[other].ccm("leave", &[]).ok();
    let name = &cluster.nodes[first].name;
    let left = ["http", "metrics", "syslog"].map(|service| format!("{service} {name} passing"));
    wait_health(&cluster.nodes[first], &left.each_ref().map(String::as_str));
}

#[test]
fn garbage_of_a_peer_is_named_once_in_the_log_and_harms_nobody() {
    let _machine = alone();
    let mut cluster = start(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    cluster.wait_serving();
    let all = ["http node-1 passing", "metrics node-1 passing", "syslog node-1 passing"];
    wait_health(&cluster.nodes[0], &all);
    for key in ["http.node-9", "what.ever"] {
        let stored = cluster
            .nats
            .request(&format!("$KV.convex-test-services.{key}"), &json!("\u{1b}[2Jhello"));
        assert!(stored["seq"].is_u64(), "{stored}");
    }
    cluster.nodes[0].terminate(PATIENCE);
    cluster.nodes[0].start();
    wait_health(&cluster.nodes[0], &all);
    let named = |key: &str| {
        let log = std::fs::read_to_string(cluster.nodes[0].log()).unwrap();
        let line = |line: &&str| line.contains("is no service record") && line.contains(key);
        log.lines().filter(line).count()
    };
    assert_eq!((named("http.node-9"), named("what.ever")), (1, 1));
}

#[test]
fn a_foreign_stream_in_the_place_of_the_bucket_is_named_and_the_node_serves_all_the_same() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    let stream = json!({ "name": "KV_convex-test-services", "subjects": ["orders"] });
    let made = cluster.nats.request("$JS.API.STREAM.CREATE.KV_convex-test-services", &stream);
    assert!(made["error"].is_null(), "{made}");
    offer(&cluster.nodes[0]);
    cluster.nodes[0].start();
    cluster.wait_serving();
    wait::until(PATIENCE, "the foreign stream to be named", || {
        let log = cluster.nodes[0].log_tail();
        let words = ["cannot be announced", "KV_convex-test-services", "rename or remove it"];
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    });
}

#[test]
fn a_service_that_is_not_offered_any_more_is_removed_by_the_next_daemon() {
    let _machine = alone();
    let mut cluster = start(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    cluster.wait_serving();
    let all = ["http node-1 passing", "metrics node-1 passing", "syslog node-1 passing"];
    wait_health(&cluster.nodes[0], &all);
    cluster.nodes[0].kill_daemon();
    cluster.nodes[0].edit_config(|config| {
        config["services"].as_object_mut().unwrap().remove("syslog");
    });
    cluster.nodes[0].start();
    wait_health(&cluster.nodes[0], &all[..2]);
}

#[test]
fn the_address_is_that_of_the_route_to_nats_on_a_host_with_several() {
    let _machine = alone();
    in_lan(|lan| {
        let options = ClusterOptions { nodes: 1, ..ClusterOptions::default() };
        let mut cluster = Cluster::prepare_on(lan, options);
        let host = cluster.hosts().remove(0);
        // Another network, and another address on the same one.
        host.ip("link add other0 type bridge");
        host.ip("address add 192.0.2.7/24 dev other0");
        host.ip("link set other0 up");
        host.ip("address add 10.77.0.77/32 dev eth0");
        let node = &mut cluster.nodes[0];
        offer(node);
        node.edit_config(|config| {
            config.as_object_mut().unwrap().remove("address");
            // A server on this host says nothing of where others find it.
            let servers = config["nats"]["servers"].as_array_mut().unwrap();
            servers.insert(0, json!("nats://127.0.0.1:1"));
        });
        node.start();
        cluster.wait_serving();
        let node = &cluster.nodes[0];
        wait_health(
            node,
            &["http node-1 passing", "metrics node-1 passing", "syslog node-1 passing"],
        );
        let told = node.ccm("services", &["list", "--json"]).json();
        let expected = host.address().to_string();
        for service in told["services"].as_array().unwrap() {
            assert_eq!(service["address"], expected.as_str(), "{service}");
        }
        let shown: Value = node.ccm("services", &["show", "http", "--json"]).json();
        assert_eq!(shown["instances"][0]["healthPath"], "/health");
        let at = SocketAddr::new(host.address().into(), node.port).to_string();
        assert!(node.ccm("services", &["show", "http"]).out.contains(&at));
    });
}
