//! What load balancers and Prometheus are told, by whole nodes.

mod busy_port;
mod metrics;

use std::net::SocketAddr;

use ccm_harness::{Cluster, ClusterOptions, Exposition, Http, Node, PATIENCE, wait};
use serde_json::{Value, json};

use crate::machine::beside_others;

/// Lets a node pick the ports of its endpoints.
pub(crate) fn listen(node: &Node) {
    node.edit_config(|config| {
        config["http"] = json!({ "healthListen": "127.0.0.1:0", "metricsListen": "127.0.0.1:0" });
    });
}

/// Prepared with endpoints, and started.
fn start(options: ClusterOptions) -> Cluster {
    let mut cluster = Cluster::prepare(options);
    for node in &mut cluster.nodes {
        listen(node);
        node.start();
    }
    cluster.wait_serving();
    cluster
}

/// Where `what` is answered, as the log of the node has said last.
pub(crate) fn address(node: &Node, what: &str) -> SocketAddr {
    let said = format!("{what} is answered over HTTP");
    wait::until(PATIENCE, &said, || {
        let log = std::fs::read_to_string(node.log()).ok()?;
        let line = log.lines().rfind(|line| line.contains(&said))?;
        let plain: String = line.replace('\u{1b}', " ");
        let at = plain.rfind("127.0.0.1:")?;
        plain[at..].split(|c: char| c.is_whitespace() || c == '"').next()?.parse().ok()
    })
}

/// GETs a path of the health endpoint; the code and the body.
fn get(node: &Node, path: &str) -> (u16, String) {
    Http::at(address(node, "health"), PATIENCE).get(path).unwrap()
}

fn code(node: &Node, path: &str) -> u16 {
    get(node, path).0
}

fn json(node: &Node, path: &str) -> Value {
    serde_json::from_str(&get(node, path).1).unwrap()
}

/// One scrape.
pub(crate) fn scrape(node: &Node) -> Exposition {
    let (code, body) = Http::at(address(node, "metrics"), PATIENCE).get("/metrics").unwrap();
    assert_eq!(code, 200);
    Exposition::prometheus(&body)
}

fn wait_code(node: &Node, path: &str, expected: u16) {
    let what = format!("{path} of {} to answer {expected}", node.name);
    wait::until(PATIENCE, &what, || (code(node, path) == expected).then_some(()));
}

#[test]
fn a_load_balancer_finds_the_primary_and_the_replica_and_follows_a_failover() {
    let _turn = beside_others();
    let mut cluster = start(ClusterOptions::default());
    let (serving, other) = if cluster.serving() == Some(0) { (0, 1) } else { (1, 0) };
    wait_code(&cluster.nodes[serving], "/primary", 200);
    wait_code(&cluster.nodes[other], "/replica", 200);
    let expected = [
        ("/health", 200, 200),
        ("/ready", 200, 503),
        ("/primary", 200, 503),
        ("/replica", 503, 200),
        ("/replica?lag=60s", 503, 200),
        ("/replica?lag=much", 400, 400),
        ("/status", 200, 200),
        ("/services", 200, 200),
        ("/metrics", 404, 404),
        ("/", 200, 200),
        ("/nothing", 404, 404),
    ];
    for (path, of_primary, of_replica) in expected {
        assert_eq!(code(&cluster.nodes[serving], path), of_primary, "{path} of the primary");
        assert_eq!(code(&cluster.nodes[other], path), of_replica, "{path} of the replica");
    }
    let why = get(&cluster.nodes[other], "/ready").1;
    let (me, leader) = (&cluster.nodes[other].name, &cluster.nodes[serving].name);
    assert_eq!(why, format!("the backend of {me} is stopped; {me} is passive, {leader} leads\n"));
    cluster.kill_host(serving);
    wait_code(&cluster.nodes[other], "/primary", 200);
    assert_eq!(code(&cluster.nodes[other], "/ready"), 200);
    assert_eq!(code(&cluster.nodes[other], "/replica"), 503);
}

#[test]
fn a_node_that_cannot_reach_nats_is_alive_and_says_what_is_missing() {
    let _turn = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    listen(&cluster.nodes[0]);
    cluster.nodes[0]
        .edit_config(|config| config["nats"]["servers"] = json!(["nats://127.0.0.1:9"]));
    cluster.nodes[0].start();
    let node = &cluster.nodes[0];
    assert_eq!(code(node, "/health"), 200);
    for path in ["/ready", "/primary", "/replica", "/services"] {
        let (code, body) = get(node, path);
        assert!(code == 503 && body.contains("NATS was not reached yet"), "{path} {code} {body}");
    }
    let (code, body) = get(node, "/status");
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &status["role"]), (503, &json!("UNKNOWN")));
    assert_eq!(status["backendStatus"], "stopped");
    // What only NATS knows is absent, not zero.
    let read = scrape(node);
    assert_eq!(read.value("convex_cluster_is_leader", &[]), None);
    assert_eq!(read.value("convex_cluster_backend_status", &[("status", "stopped")]), Some(1.0));
    assert_eq!(read.value("ccm_problem", &[]), Some(1.0));
}

#[test]
fn the_status_over_http_is_that_of_the_command() {
    let _turn = beside_others();
    let cluster = start(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    let node = &cluster.nodes[0];
    let told = cluster.wait_status(0, "that it serves", |status| status["role"] == "PRIMARY");
    let asked = json(node, "/status");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&asked), keys(&told));
    for key in ["clusterId", "nodeId", "role", "leader", "epoch", "backendStatus"] {
        assert_eq!(asked[key], told[key], "{key}");
    }
}
