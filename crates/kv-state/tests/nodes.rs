//! Node records in a real nats-server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_harness::wait::until_async;
use ccm_kv_state::{KvError, NodeRecord, Nodes};
use ccm_types::{ClusterId, Epoch, NodeId, RoleName, Txid};
use serde_json::json;

const BUCKET: &str = "convex-test-state";
const LONG: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(server: &NatsServer) -> async_nats::Client {
    let options =
        async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50));
    options.connect(server.url()).await.unwrap()
}

async fn open(server: &NatsServer) -> Nodes {
    Nodes::open(connect(server).await, String::from(BUCKET), 1).await.unwrap()
}

fn record(node: &str, instance: &str) -> NodeRecord {
    NodeRecord {
        node_id: NodeId::new(node).unwrap(),
        cluster_id: ClusterId::new("test").unwrap(),
        role: RoleName::Passive,
        backend_status: String::from("stopped"),
        last_seen: String::from("2026-01-02T03:04:05Z"),
        version: String::from("0.1.0"),
        epoch: Epoch::new(3),
        txid: Txid::new(42),
        lag_ms: 7,
        address: String::from("192.0.2.1"),
        priority: 100,
        candidate: true,
        diverged_files: 1,
        diverged_bytes: 4096,
        problem: None,
        instance: String::from(instance),
    }
}

/// Writes to the bucket past the crate.
async fn put(server: &NatsServer, key: &str, value: serde_json::Value) {
    let client = connect(server).await;
    let payload = value.to_string().into();
    client.request(format!("$KV.{BUCKET}.{key}"), payload).await.unwrap();
}

fn other_instance(error: &KvError) -> &str {
    let KvError::Duplicate { instance, .. } = error else { panic!("{error}") };
    instance
}

#[tokio::test]
async fn records_of_all_nodes_are_listed_by_node_as_published_last() {
    let server = NatsServer::start();
    let (b, a) = (open(&server).await, open(&server).await);
    assert_eq!(a.list().await.unwrap(), []);
    b.claim(&record("b", "b1"), LONG).await.unwrap();
    a.claim(&record("a.example.com", "a1"), LONG).await.unwrap();
    let now = NodeRecord {
        role: RoleName::Primary,
        problem: Some(String::from("slow")),
        ..record("b", "b1")
    };
    b.publish(&now, LONG).await.unwrap();
    b.publish(&now, LONG).await.unwrap();
    assert_eq!(a.list().await.unwrap(), [record("a.example.com", "a1"), now]);
}

#[tokio::test]
async fn a_record_that_is_not_refreshed_is_forgotten_and_a_refreshed_one_is_not() {
    let server = NatsServer::start();
    let (silent, alive) = (open(&server).await, open(&server).await);
    let ttl = Duration::from_secs(3);
    silent.claim(&record("silent", "s1"), ttl).await.unwrap();
    alive.claim(&record("alive", "a1"), ttl).await.unwrap();
    let what = "the silent node to be forgotten";
    until_async(PATIENCE, what, tokio::time::sleep, async || {
        alive.publish(&record("alive", "a1"), ttl).await.unwrap();
        let listed = alive.list().await.unwrap();
        assert!(listed.contains(&record("alive", "a1")));
        (listed.len() == 1).then_some(())
    })
    .await;
    // The node was only away: its record returns, although its revision is no more.
    silent.publish(&record("silent", "s1"), ttl).await.unwrap();
    assert_eq!(alive.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_second_daemon_with_the_id_is_refused_and_may_take_over_the_dead() {
    let server = NatsServer::start();
    let (old, new) = (open(&server).await, open(&server).await);
    old.claim(&record("n", "old"), LONG).await.unwrap();
    let error = new.claim(&record("n", "new"), LONG).await.unwrap_err();
    assert!(error.is_conflict() && !error.is_transient());
    assert_eq!(other_instance(&error), "old");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");

    new.take_over(&record("n", "new"), LONG).await.unwrap();
    new.publish(&record("n", "new"), LONG).await.unwrap();
    let error = old.publish(&record("n", "old"), LONG).await.unwrap_err();
    assert_eq!(other_instance(&error), "new");
    assert_eq!(new.list().await.unwrap(), [record("n", "new")]);
}

#[tokio::test]
async fn a_record_that_was_refreshed_since_it_was_met_is_not_taken_over() {
    let server = NatsServer::start();
    let (old, new) = (open(&server).await, open(&server).await);
    old.claim(&record("n", "old"), LONG).await.unwrap();
    new.claim(&record("n", "new"), LONG).await.unwrap_err();
    old.publish(&record("n", "old"), LONG).await.unwrap();
    let error = new.take_over(&record("n", "new"), LONG).await.unwrap_err();
    assert_eq!(other_instance(&error), "old");
    old.publish(&record("n", "old"), LONG).await.unwrap();
}

#[tokio::test]
async fn the_record_of_the_same_run_is_adopted_at_whatever_revision() {
    let server = NatsServer::start();
    let (one, again) = (open(&server).await, open(&server).await);
    one.claim(&record("n", "same"), LONG).await.unwrap();
    // As after a write whose answer never came.
    again.publish(&record("n", "same"), LONG).await.unwrap();
    one.publish(&record("n", "same"), LONG).await.unwrap();
    again.claim(&record("n", "same"), LONG).await.unwrap();
}

#[tokio::test]
async fn a_removed_record_is_gone_at_once_and_its_key_free() {
    let server = NatsServer::start();
    let (old, new) = (open(&server).await, open(&server).await);
    old.claim(&record("n", "old"), LONG).await.unwrap();
    old.remove(&record("n", "old").node_id).await.unwrap();
    assert_eq!(new.list().await.unwrap(), []);
    new.claim(&record("n", "new"), LONG).await.unwrap();
    // Too late, and without harm.
    old.remove(&record("n", "old").node_id).await.unwrap();
    assert_eq!(new.list().await.unwrap(), [record("n", "new")]);
}

#[tokio::test]
async fn garbage_is_passed_over_and_unknown_fields_are_ignored() {
    let server = NatsServer::start();
    let nodes = open(&server).await;
    put(&server, "nodes.garbage", json!("hello")).await;
    put(&server, "nodes.n", json!({ "nodeId": "n" })).await;
    let mut later = serde_json::to_value(record("later", "l1")).unwrap();
    later["mood"] = json!("good");
    put(&server, "nodes.later", later).await;
    nodes.claim(&record("n", "n1"), LONG).await.unwrap();
    assert_eq!(nodes.list().await.unwrap(), [record("later", "l1"), record("n", "n1")]);
}

#[tokio::test]
async fn a_stream_that_is_no_state_bucket_is_refused_with_the_reason() {
    let server = NatsServer::start();
    let create = format!("$JS.API.STREAM.CREATE.KV_{BUCKET}");
    for (config, why) in [
        (json!({ "subjects": ["orders"] }), "subjects"),
        (json!({ "subjects": [format!("$KV.{BUCKET}.>")] }), "more than the last"),
        (
            json!({ "subjects": [format!("$KV.{BUCKET}.>")], "max_msgs_per_subject": 1 }),
            "never forgets",
        ),
    ] {
        let mut config = config;
        config["name"] = json!(format!("KV_{BUCKET}"));
        let made = server.request(&create, &config);
        assert!(made["error"].is_null(), "{made}");
        let opened = Nodes::open(connect(&server).await, String::from(BUCKET), 1).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, KvError::ForeignBucket { .. }), "{error}");
        assert!(!error.is_transient() && error.to_string().contains(why), "{error}");
        let gone = server.request(&format!("$JS.API.STREAM.DELETE.KV_{BUCKET}"), &json!({}));
        assert_eq!(gone["success"], true);
    }
}

#[tokio::test]
async fn nodes_that_open_the_bucket_at_the_same_moment_share_it() {
    let server = NatsServer::start();
    let (a, b, c) = tokio::join!(open(&server), open(&server), open(&server));
    a.claim(&record("a", "a1"), LONG).await.unwrap();
    b.claim(&record("b", "b1"), LONG).await.unwrap();
    assert_eq!(c.list().await.unwrap().len(), 2);
    let info = server.request(&format!("$JS.API.STREAM.INFO.KV_{BUCKET}"), &json!({}));
    let config = &info["config"];
    assert_eq!(config["max_msgs_per_subject"], 1);
    assert_eq!(config["discard"], "new");
    for name in ["allow_rollup_hdrs", "deny_delete", "allow_direct", "allow_msg_ttl"] {
        assert_eq!(config[name], true, "{name}");
    }
    assert!(config["subject_delete_marker_ttl"].is_u64(), "{config}");
}

#[tokio::test]
async fn without_nats_every_call_fails_at_once_and_works_again_when_it_is_back() {
    let mut server = NatsServer::start();
    let nodes = open(&server).await;
    nodes.claim(&record("n", "n1"), LONG).await.unwrap();
    server.kill();
    let error = until_async(PATIENCE, "the loss to be seen", tokio::time::sleep, async || {
        nodes.publish(&record("n", "n1"), LONG).await.err()
    })
    .await;
    assert!(error.is_transient(), "{error}");
    assert!(nodes.list().await.unwrap_err().is_transient());
    server.restart();
    until_async(PATIENCE, "the record to be written", tokio::time::sleep, async || {
        nodes.publish(&record("n", "n1"), LONG).await.ok()
    })
    .await;
    assert_eq!(nodes.list().await.unwrap(), [record("n", "n1")]);
}
