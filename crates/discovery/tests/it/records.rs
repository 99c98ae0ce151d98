//! Records are written, found, forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use ccm_discovery::{DiscoveryError, Filter, Health, ServiceRecord, Services};
use ccm_harness::NatsServer;
use ccm_harness::wait::until_async;
use ccm_types::NodeId;
use serde_json::json;

use crate::world::{BUCKET, LONG, PATIENCE, ask, connect, name, open, put, record};

#[tokio::test]
async fn records_are_found_by_name_node_tag_metadata_and_health() {
    let server = NatsServer::start();
    let (a, b) = (open(&server).await, open(&server).await);
    assert_eq!(a.list(&Filter::default()).await.unwrap().records, []);
    let standby = ServiceRecord { health: Health::Standby, ..record("http", "b.example.com") };
    let syslog = ServiceRecord {
        tags: vec![String::from("logging")],
        metadata: BTreeMap::from([(String::from("format"), String::from("rfc5424"))]),
        ..record("syslog", "a")
    };
    b.register(&standby, LONG).await.unwrap();
    a.register(&syslog, LONG).await.unwrap();
    a.register(&record("http", "a"), LONG).await.unwrap();
    let all = [record("http", "a"), standby.clone(), syslog.clone()];
    assert_eq!(b.list(&Filter::default()).await.unwrap().records, all);
    assert_eq!(b.by_name(&name("http")).await.unwrap(), all[..2]);
    assert_eq!(b.by_tag("logging").await.unwrap(), vec![syslog.clone()]);
    assert_eq!(b.by_tag("log").await.unwrap(), []);
    assert_eq!(b.by_metadata("format", "rfc5424").await.unwrap(), [syslog]);
    let filter = Filter {
        node: Some(NodeId::new("b.example.com").unwrap()),
        health: Some(Health::Standby),
        ..Filter::default()
    };
    assert_eq!(a.list(&filter).await.unwrap().records, [standby]);
}

#[tokio::test]
async fn a_record_that_is_not_refreshed_is_forgotten_and_a_refreshed_one_is_not() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let ttl = Duration::from_secs(3);
    services.register(&record("silent", "n"), ttl).await.unwrap();
    until_async(PATIENCE, "the silent one to be forgotten", tokio::time::sleep, async || {
        services.register(&record("alive", "n"), ttl).await.unwrap();
        let listed = services.list(&Filter::default()).await.unwrap().records;
        assert!(listed.contains(&record("alive", "n")), "a refreshed record was forgotten");
        (listed.len() == 1).then_some(())
    })
    .await;
    // Over the trace of the forgotten one it is forgotten again.
    services.register(&record("silent", "n"), ttl).await.unwrap();
    assert_eq!(services.by_name(&name("silent")).await.unwrap().len(), 1);
    until_async(PATIENCE, "it to be forgotten again", tokio::time::sleep, async || {
        services.by_name(&name("silent")).await.unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deregistered_record_is_gone_at_once_and_can_return() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let one = record("http", "n");
    services.deregister(&one.name, &one.node).await.unwrap();
    services.register(&one, LONG).await.unwrap();
    services.deregister(&one.name, &one.node).await.unwrap();
    assert_eq!(services.list(&Filter::default()).await.unwrap().records, []);
    services.register(&one, LONG).await.unwrap();
    assert_eq!(services.list(&Filter::default()).await.unwrap().records, [one]);
}

#[tokio::test]
async fn garbage_is_passed_over_counted_and_named_by_key() {
    let server = NatsServer::start();
    let services = open(&server).await;
    services.register(&record("http", "n"), LONG).await.unwrap();
    put(&server, "http.m", json!("hello")).await;
    put(&server, "what.ever.else", json!({ "name": "http" })).await;
    put(&server, "http.k", serde_json::to_value(record("http", "n")).unwrap()).await;
    let expected = ["http.k", "http.m", "what.ever.else"].map(String::from);
    for _ in 0..2 {
        let listed = services.list(&Filter::default()).await.unwrap();
        assert_eq!(listed.records, [record("http", "n")]);
        assert_eq!(listed.garbage, expected);
        assert_eq!(services.garbage_count(), 3);
    }
    put(&server, "http.m", json!("hello again")).await;
    services.list(&Filter::default()).await.unwrap();
    assert_eq!(services.garbage_count(), 4);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_has_no_records_and_is_not_made_by_looking() {
    let server = NatsServer::start();
    let services = Services::at(connect(&server).await, String::from(BUCKET));
    assert_eq!(services.list(&Filter::default()).await.unwrap().records, []);
    let error = services.register(&record("http", "n"), LONG).await.unwrap_err();
    assert!(error.is_no_bucket() && error.is_transient(), "{error}");
    assert!(!ask(&server, "INFO")["error"].is_null(), "a look made the bucket");
}

#[tokio::test]
async fn a_stream_that_is_no_services_bucket_is_refused_with_the_reason() {
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
        let opened = Services::open(connect(&server).await, String::from(BUCKET), 1).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, DiscoveryError::ForeignBucket { .. }), "{error}");
        assert!(!error.is_transient() && error.to_string().contains(why), "{error}");
        assert_eq!(ask(&server, "DELETE")["success"], true);
    }
}

#[tokio::test]
async fn nodes_that_open_the_bucket_at_the_same_moment_share_it() {
    let server = NatsServer::start();
    let (a, b, c) = tokio::join!(open(&server), open(&server), open(&server));
    a.register(&record("http", "a"), LONG).await.unwrap();
    b.register(&record("http", "b"), LONG).await.unwrap();
    assert_eq!(c.list(&Filter::default()).await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn without_nats_every_call_fails_at_once_and_works_again_when_it_is_back() {
    let mut server = NatsServer::start();
    let services = open(&server).await;
    services.register(&record("http", "n"), LONG).await.unwrap();
    server.kill();
    let error = until_async(PATIENCE, "the loss to be seen", tokio::time::sleep, async || {
        services.list(&Filter::default()).await.err()
    })
    .await;
    assert!(error.is_transient(), "{error}");
    server.restart();
    until_async(PATIENCE, "NATS to be back", tokio::time::sleep, async || {
        services.register(&record("http", "n"), LONG).await.ok()
    })
    .await;
    assert_eq!(services.list(&Filter::default()).await.unwrap().records, [record("http", "n")]);
}
