//! A port that something else has is told of, and costs nothing else.

use std::net::TcpListener;

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};
use serde_json::json;

use super::{address, code};
use crate::machine::beside_others;

#[test]
fn a_port_in_use_is_told_by_whom_and_taken_when_it_is_free() {
    let _turn = beside_others();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let mut cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    cluster.nodes[0].edit_config(|config| {
        config["http"] = json!({ "healthListen": at.to_string(), "metricsListen": "off" });
    });
    cluster.nodes[0].start();
    // The database is served all the same.
    cluster.wait_serving();
    let status = cluster.wait_status(0, "a problem", |status| status["problem"].is_string());
    assert_eq!(status["role"], "PRIMARY");
    let problem = status["problem"].as_str().unwrap();
    let by = format!("{at} is in use by it-");
    let pid = format!("(pid {})", std::process::id());
    assert!(problem.contains("http.healthListen"), "{problem}");
    assert!(problem.contains(&by) && problem.contains(&pid), "{problem}");
    let epoch = status["epoch"].clone();
    drop(taken);
    cluster.wait_status(0, "no problem", |status| status["problem"].is_null());
    let node = &cluster.nodes[0];
    assert_eq!(address(node, "health"), at);
    assert_eq!(code(node, "/ready"), 200);
    assert_eq!(node.status()["epoch"], epoch);
    wait::until(PATIENCE, "the node to serve on", || node.serves().then_some(()));
}
