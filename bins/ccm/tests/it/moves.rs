//! Status and planned moves over daemons that answer.

use ccm_harness::NatsServer;
use serde_json::json;

use crate::daemon::Daemons;
use crate::node::{Node, Ran};

/// Runs a command while the daemons of this runtime go on answering.
fn ccm(node: &Node, args: &[&str]) -> Ran {
    tokio::task::block_in_place(|| node.ccm(args))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_daemon_is_printed_as_the_manual_prints_it() {
    let nats = NatsServer::start();
    let _daemons = Daemons::start(&nats.url(), &["node-1", "node-2"]).await;
    let node = Node::new("node-1", &nats.url());
    node.configure(&json!({
        "clusterId": "test",
        "nodeId": "node-1",
        "nats": { "servers": [nats.url()] },
        "vip": { "address": "10.0.1.100", "netmask": 24, "interface": "eth0" },
    }));
    let ran = ccm(&node, &["status"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let expected = format!(
        "Cluster Status\n==============\n\nCluster ID:  test\nNode ID:     node-1\n\
         NATS:        [{}]\nVIP:         10.0.1.100/24\n\nRole:        PRIMARY\n\
         Leader:      node-1\nBackend:     running\nRep. Lag:    0ms\n\
         VIP Status:  held (this node is PRIMARY)\n\nNODE",
        nats.url()
    );
    assert!(ran.out.starts_with(&expected), "{}", ran.out);
    let status = ccm(&node, &["status", "--json"]).json();
    assert_eq!((&status["role"], &status["txid"]), (&json!("PRIMARY"), &json!(1042)));
    assert_eq!(status["vip"], json!({ "address": "10.0.1.100/24", "held": true }));

    let other = Node::new("node-2", &nats.url());
    let ran = ccm(&other, &["status"]);
    assert!(ran.out.contains("\nProblem:     the disk is full\n"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_from_any_node_ends_when_the_named_node_serves() {
    let nats = NatsServer::start();
    let daemons = Daemons::start(&nats.url(), &["node-1", "node-2", "node-3"]).await;
    let node = Node::new("node-2", &nats.url());
    let ran = ccm(&node, &["switchover", "--to", "node-3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.out,
        "Switching over from node-1 to node-3...\n  node-1 has handed over\n\
         ✓ node-3 is the leader now (epoch 2)\n"
    );
    assert_eq!(daemons.leader().node, "node-3");
    let again = ccm(&node, &["switchover", "--to", "node-3"]);
    assert_eq!(again.out, "✓ node-3 is the leader already (epoch 2)\n");
    let absent = ccm(&node, &["switchover", "--to", "node-9"]);
    assert_eq!(absent.code, Some(64), "{}", absent.err);
    assert_eq!(daemons.leader().epoch, 2, "something was stopped for a node that is not there");
    let back = ccm(&node, &["switchover", "--to", "node-1", "--json"]).json();
    assert_eq!(back, json!({ "ok": true, "from": "node-3", "leader": "node-1", "epoch": 3 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn demote_asks_the_leader_and_promote_asks_this_node() {
    let nats = NatsServer::start();
    let _daemons = Daemons::start(&nats.url(), &["node-1", "node-2"]).await;
    let node = Node::new("node-2", &nats.url());
    let ran = ccm(&node, &["demote"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.out,
        "Demoting node node-1 from leader...\n✓ Successfully demoted from leader\n\
         ✓ node-2 is the leader now (epoch 2)\n"
    );
    let node = Node::new("node-1", &nats.url());
    let ran = ccm(&node, &["promote"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.out,
        "Attempting to promote node node-1 to leader...\n✓ Successfully promoted to leader\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_says_no_is_quoted() {
    let nats = NatsServer::start();
    let _daemons = Daemons::start(&nats.url(), &["node-1"]).await;
    let node = Node::new("node-1", &nats.url());
    let ran = ccm(&node, &["leave"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(75), "error: not today\n"));
    assert_eq!(ran.out, "Leaving cluster test...\nStepping down from leadership...\n");
    let ran = ccm(&node, &["join"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("node-1 is a member already"), "{}", ran.err);
    let left = node.path("replica.db-ccm");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("left"), b"").unwrap();
    let ran = ccm(&node, &["join"]);
    assert!(ran.err.contains("stop it, join, and start it again"), "{}", ran.err);
}
