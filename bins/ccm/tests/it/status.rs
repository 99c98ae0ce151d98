//! `ccm status` when something is missing.

use ccm_harness::NatsServer;
use serde_json::{Value, json};

use crate::bucket;
use crate::node::{Node, ccm};

#[tokio::test]
async fn without_a_daemon_status_says_so_and_shows_what_nats_knows() {
    let nats = NatsServer::start();
    let node = Node::new("node-2", &nats.url());
    let expected = |leader: &str| {
        format!(
            "Cluster Status\n==============\n\nCluster ID:  test\nNode ID:     node-2\n\
             NATS:        [{}]\nVIP:         (none)\n\n\
             Role:        UNKNOWN (daemon not responding)\nLeader:      {leader}\n\
             Backend:     unknown\nRep. Lag:    unknown\n",
            nats.url()
        )
    };
    let ran = node.ccm(&["status"]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    assert!(ran.out.starts_with(&expected("(none)")), "{}", ran.out);
    bucket::lead(&nats.url(), "node-1", 7, false).await;
    let ran = node.ccm(&["status"]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    assert!(ran.out.starts_with(&expected("node-1")), "{}", ran.out);
    let ran = node.ccm(&["status", "--json"]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    let status = ran.json();
    assert_eq!(status["role"], "UNKNOWN");
    assert_eq!((&status["leader"], &status["epoch"]), (&json!("node-1"), &json!(7)));
    bucket::lead(&nats.url(), "node-1", 7, true).await;
    assert!(node.ccm(&["status"]).out.contains("Leader:      (none)\n"));
}

#[test]
fn nats_that_is_not_there_is_69_and_named() {
    let node = Node::new("node-1", "nats://127.0.0.1:1");
    for verb in [&["status"][..], &["join"], &["demote"], &["promote"], &["leave"]] {
        let ran = node.ccm(verb);
        assert_eq!(ran.code, Some(69), "{verb:?}: {}", ran.err);
        assert!(ran.err.contains("could not reach NATS at nats://127.0.0.1:1"), "{}", ran.err);
    }
    let ran = node.ccm(&["status", "--json"]);
    let failure = ran.json();
    assert_eq!((&failure["ok"], &failure["exitCode"]), (&json!(false), &json!(69)));
    assert!(failure["error"].is_string());
}

#[test]
fn nats_that_refuses_the_password_is_told_apart() {
    let nats = NatsServer::start_with(&["--user", "u", "--pass", "right"]);
    let node = Node::new("node-1", &nats.url());
    let config = |password: &str| {
        let servers = [nats.url()];
        node.configure(&json!({
            "clusterId": "test",
            "nodeId": node.name,
            "nats": { "servers": servers, "user": "u", "password": password },
        }));
    };
    config("wrong");
    let ran = node.ccm(&["status"]);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert!(ran.err.contains("refuses the credentials"), "{}", ran.err);
    config("right");
    assert_eq!(node.ccm(&["status"]).code, Some(75));
}

#[test]
fn a_wrong_configuration_is_64_with_its_place() {
    let node = Node::new("node-1", "nats://127.0.0.1:1");
    node.configure(&json!({ "clusterId": "test", "nodeId": "n", "natts": Value::Null }));
    let ran = node.ccm(&["status"]);
    assert_eq!(ran.code, Some(64));
    let words = "line 1, column 34: unknown key natts: did you mean nats?";
    assert!(ran.err.ends_with(&format!("cluster.json: {words}\n")), "{}", ran.err);
    let ran = ccm(&["status", "--config", "/no/such/cluster.json"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("/no/such/cluster.json"), "{}", ran.err);
}

#[test]
fn the_variable_names_the_configuration_and_the_option_wins() {
    let node = Node::new("node-1", "nats://127.0.0.1:1");
    let run = |args: &[&str]| {
        let mut ccm = std::process::Command::new(env!("CARGO_BIN_EXE_ccm"));
        let output = ccm.args(args).env("CCM_CONFIG", node.path("cluster.json")).output().unwrap();
        output.status.code()
    };
    assert_eq!(run(&["status"]), Some(69));
    assert_eq!(run(&["status", "-c", "/no/such/cluster.json"]), Some(64));
    assert_eq!(run(&["-c", "/no/such/cluster.json", "status"]), Some(64));
}

#[tokio::test]
async fn moves_without_daemons_change_nothing_and_say_what_to_do() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let ran = node.ccm(&["demote"]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    assert!(ran.err.contains("No leader currently exists in the cluster"), "{}", ran.err);
    let ran = node.ccm(&["promote"]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    assert!(ran.err.contains("the daemon of node-1 does not answer"), "{}", ran.err);
    bucket::lead(&nats.url(), "node-2", 1, false).await;
    let ran = node.ccm(&["demote"]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    assert!(ran.err.contains("the daemon of node-2 does not answer"), "{}", ran.err);
    let ran = node.ccm(&["switchover", "--to", "node-9"]);
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    let ran = node.ccm(&["switchover", "--to", "a b"]);
    assert_eq!(ran.code, Some(64), "{}", ran.err);
}
