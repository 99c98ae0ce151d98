//! A watch tells every change once, whatever becomes of its connection.

use std::time::Duration;

use ccm_discovery::{Change, Health, ServiceRecord, Services, Watch};
use ccm_harness::NatsServer;
use serde_json::json;
use tokio::time::timeout;

use crate::world::{BUCKET, LONG, PATIENCE, ask, connect, open, put, record};

/// The next changes, as `+http.n`, `~http.n`, `!http.n` and `-http.n`; errors are passed over.
async fn next(watch: &mut Watch) -> Vec<String> {
    let changes = timeout(PATIENCE, async {
        loop {
            if let Ok(changes) = watch.next().await {
                break changes;
            }
        }
    });
    let show = |change: &Change| {
        let sign = match change {
            Change::Registered(_) => '+',
            Change::Updated { .. } => '~',
            Change::HealthChanged { .. } => '!',
            Change::Deregistered(_) => '-',
        };
        format!("{sign}{}", change.record().key())
    };
    changes.await.unwrap().iter().map(show).collect()
}

#[tokio::test]
async fn every_kind_of_change_is_told() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let one = record("http", "n");
    services.register(&one, LONG).await.unwrap();
    let mut watch = services.watch();
    assert_eq!(next(&mut watch).await, ["+http.n"]);
    let refreshed = ServiceRecord { updated_at: String::from("later"), ..one.clone() };
    services.register(&refreshed, LONG).await.unwrap();
    let moved = ServiceRecord { port: 1, ..refreshed };
    services.register(&moved, LONG).await.unwrap();
    assert_eq!(next(&mut watch).await, ["~http.n"]);
    let critical = ServiceRecord { health: Health::Critical, ..moved };
    services.register(&critical, LONG).await.unwrap();
    assert_eq!(next(&mut watch).await, ["!http.n"]);
    assert_eq!(watch.records(), vec![critical.clone()]);
    services.deregister(&one.name, &one.node).await.unwrap();
    assert_eq!(next(&mut watch).await, ["-http.n"]);
    services.register(&critical, LONG).await.unwrap();
    assert_eq!(next(&mut watch).await, ["+http.n"]);
    put(&server, "http.n", json!("garbage")).await;
    assert_eq!(next(&mut watch).await, ["-http.n"]);
    assert_eq!((services.garbage_count(), watch.records()), (1, Vec::new()));
}

#[tokio::test]
async fn a_record_that_expires_is_told_as_deregistered() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let mut watch = services.watch();
    assert_eq!(next(&mut watch).await, Vec::<String>::new());
    services.register(&record("http", "n"), Duration::from_secs(1)).await.unwrap();
    assert_eq!(next(&mut watch).await, ["+http.n"]);
    assert_eq!(next(&mut watch).await, ["-http.n"]);
}

#[tokio::test]
async fn a_watch_that_begins_before_the_bucket_sees_its_records() {
    let server = NatsServer::start();
    let looking = Services::at(connect(&server).await, String::from(BUCKET));
    let mut watch = looking.watch();
    assert_eq!(next(&mut watch).await, Vec::<String>::new());
    let services = open(&server).await;
    services.register(&record("http", "n"), LONG).await.unwrap();
    assert_eq!(next(&mut watch).await, ["+http.n"]);
    // By now it is pushed.
    services.register(&record("http", "m"), LONG).await.unwrap();
    assert_eq!(next(&mut watch).await, ["+http.m"]);
}

/// Deletes every consumer of the bucket: nothing is pushed any more, and nobody is told.
fn silence(server: &NatsServer) -> usize {
    let names = server.request(&format!("$JS.API.CONSUMER.NAMES.KV_{BUCKET}"), &json!({}));
    let names = names["consumers"].as_array().cloned().unwrap_or_default();
    for name in &names {
        let name = name.as_str().unwrap();
        let gone =
            server.request(&format!("$JS.API.CONSUMER.DELETE.KV_{BUCKET}.{name}"), &json!({}));
        assert_eq!(gone["success"], true, "{gone}");
    }
    names.len()
}

/// Watches until it is pushed to again, which nobody is told of.
async fn replaced(server: &NatsServer, watch: &mut Watch) {
    loop {
        let watching = timeout(Duration::from_millis(100), watch.next()).await;
        assert!(watching.is_err(), "told twice: {watching:?}");
        let names = server.request(&format!("$JS.API.CONSUMER.NAMES.KV_{BUCKET}"), &json!({}));
        if names["consumers"].as_array().is_some_and(|names| names.len() == 1) {
            return;
        }
    }
}

#[tokio::test]
async fn a_watch_that_goes_dead_in_silence_is_noticed_and_replaced() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let mut watch = services.watch();
    next(&mut watch).await;
    for round in 0..3 {
        assert_eq!(silence(&server), 1);
        let node = format!("n{round}");
        services.register(&record("http", &node), LONG).await.unwrap();
        assert_eq!(next(&mut watch).await, [format!("+http.{node}")]);
        // It is pushed again, to one consumer and no more.
        timeout(PATIENCE, replaced(&server, &mut watch)).await.unwrap();
    }
}

#[tokio::test]
async fn a_restart_of_the_server_is_survived_and_the_outage_is_told_once() {
    let mut server = NatsServer::start();
    let services = open(&server).await;
    services.register(&record("http", "n"), LONG).await.unwrap();
    let mut watch = services.watch();
    assert_eq!(next(&mut watch).await, ["+http.n"]);
    server.kill();
    let error = timeout(PATIENCE, watch.next()).await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(watch.records(), [record("http", "n")], "what is known was forgotten");
    server.restart();
    let other = open(&server).await;
    other.register(&record("http", "m"), LONG).await.unwrap();
    assert_eq!(next(&mut watch).await, ["+http.m"]);
}

#[tokio::test]
async fn a_bucket_that_is_made_anew_is_watched_as_it_is() {
    let server = NatsServer::start();
    let services = open(&server).await;
    for node in ["a", "b", "c"] {
        services.register(&record("http", node), LONG).await.unwrap();
    }
    let mut watch = services.watch();
    assert_eq!(next(&mut watch).await, ["+http.a", "+http.b", "+http.c"]);
    assert_eq!(ask(&server, "DELETE")["success"], true);
    let moved = ServiceRecord { port: 1, ..record("http", "b") };
    open(&server).await.register(&moved, LONG).await.unwrap();
    let seeing = async {
        while watch.records() != std::slice::from_ref(&moved) {
            next(&mut watch).await;
        }
    };
    timeout(PATIENCE, seeing).await.unwrap();
}
