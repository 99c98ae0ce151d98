//! What the tests share: connections, records, writing past the crate.

use std::collections::BTreeMap;
use std::time::Duration;

use ccm_discovery::{Health, Protocol, ServiceRecord, Services};
use ccm_harness::NatsServer;
use ccm_types::{ClusterId, NodeId, ServiceName};
use serde_json::{Value, json};

pub(crate) const BUCKET: &str = "convex-test-services";
/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(300);
/// Far above what anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn connect(server: &NatsServer) -> async_nats::Client {
    let options =
        async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50));
    options.connect(server.url()).await.unwrap()
}

pub(crate) async fn open(server: &NatsServer) -> Services {
    Services::open(connect(server).await, String::from(BUCKET), 1).await.unwrap()
}

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

pub(crate) fn record(service: &str, node: &str) -> ServiceRecord {
    ServiceRecord {
        app: ClusterId::new("test").unwrap(),
        name: name(service),
        node: NodeId::new(node).unwrap(),
        address: "192.0.2.1".parse().unwrap(),
        port: 3210,
        protocol: Protocol::Http,
        path: Some(String::from("/")),
        health_path: None,
        metadata: BTreeMap::from([(String::from("version"), String::from("1.0.0"))]),
        tags: vec![String::from("api")],
        health: Health::Passing,
        registered_at: String::from("2026-01-02T03:04:05Z"),
        updated_at: String::from("2026-01-02T03:04:05Z"),
    }
}

/// Writes to the bucket past the crate.
pub(crate) async fn put(server: &NatsServer, key: &str, value: Value) {
    let client = connect(server).await;
    let payload = value.to_string().into();
    client.request(format!("$KV.{BUCKET}.{key}"), payload).await.unwrap();
}

/// Asks JetStream about the stream of the bucket.
pub(crate) fn ask(server: &NatsServer, operation: &str) -> Value {
    server.request(&format!("$JS.API.STREAM.{operation}.KV_{BUCKET}"), &json!({}))
}
