//! Opening: what is created, and what is refused.

use std::error::Error as _;
use std::time::Duration;

use async_nats::ConnectOptions;
use ccm_election::{Election, ElectionError, Timing};
use ccm_harness::NatsServer;
use serde_json::{Value, json};

use crate::SHORT;
use crate::contender::{BUCKET, Contender, config, connect};

async fn refusal(nats: &NatsServer) -> ElectionError {
    Election::start(connect(&nats.url()).await, config("a", SHORT)).await.unwrap_err()
}

fn create(nats: &NatsServer, change: impl FnOnce(&mut Value)) {
    let mut stream = json!({
        "name": format!("KV_{BUCKET}"),
        "subjects": [format!("$KV.{BUCKET}.>")],
        "storage": "file",
        "max_msgs_per_subject": 1,
    });
    change(&mut stream);
    let made = nats.request(&format!("$JS.API.STREAM.CREATE.KV_{BUCKET}"), &stream);
    assert!(made["error"].is_null(), "{made}");
}

#[tokio::test]
async fn the_bucket_is_created_once_and_is_a_kv_bucket_whose_keys_do_not_expire() {
    let nats = NatsServer::start();
    let _a = Contender::start(&nats.url(), "a", SHORT).await;
    let _b = Contender::start(&nats.url(), "b", SHORT).await;
    let info = nats.request(&format!("$JS.API.STREAM.INFO.KV_{BUCKET}"), &json!({}));
    assert_eq!(info["config"]["subjects"], json!([format!("$KV.{BUCKET}.>")]));
    assert_eq!(info["config"]["max_age"], 0);
    assert_eq!(info["config"]["max_msgs_per_subject"], 1);
    let client = connect(&nats.url()).await;
    let jetstream = async_nats::jetstream::new(client);
    jetstream.get_key_value(BUCKET).await.unwrap();
}

#[tokio::test]
async fn a_bucket_that_cannot_keep_a_lease_is_refused_with_the_reason() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 3] = [
        (|stream| stream["subjects"] = json!(["somebody.elses"]), "subjects"),
        (|stream| stream["max_age"] = json!(60_000_000_000_u64), "expire"),
        (|stream| stream["storage"] = json!("memory"), "memory"),
    ];
    for (change, word) in cases {
        let nats = NatsServer::start();
        create(&nats, change);
        let error = refusal(&nats).await;
        assert!(matches!(error, ElectionError::ForeignBucket { .. }), "{error}");
        assert!(!error.is_transient());
        let text = error.to_string();
        assert!(text.contains(BUCKET) && text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_refused_and_left_alone() {
    let nats = NatsServer::start();
    create(&nats, |_| {});
    let subject = format!("$KV.{BUCKET}.leader");
    let ack = nats.request(&subject, &json!("node-1"));
    assert_eq!(ack["seq"], 1, "{ack}");
    let error = refusal(&nats).await;
    assert!(error.to_string().contains("does not hold the record of a lease"), "{error}");
    let info = nats.request(&format!("$JS.API.STREAM.INFO.KV_{BUCKET}"), &json!({}));
    assert_eq!(info["state"]["last_seq"], 1, "{info}");
}

#[tokio::test]
async fn wrong_credentials_and_missing_rights_are_errors_that_may_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nats.conf");
    let text = "authorization { users = [
        { user: ccm, password: right }
        { user: guest, password: guest, permissions: { publish: none, subscribe: \"_INBOX.>\" } }
    ] }";
    std::fs::write(&path, text).unwrap();
    let nats = NatsServer::start_with(&["-c", path.to_str().unwrap()]);

    // Refused at the door: the library goes on trying, and the start says that it is not in.
    let wrong = ConnectOptions::with_user_and_password(String::from("ccm"), String::from("wrong"))
        .retry_on_initial_connect();
    let client = wrong.connect(nats.url()).await.unwrap();
    let error = Election::start(client, config("a", SHORT)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("credentials"), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "not connected to NATS");

    // In, but without the right to ask: the server does not answer.
    let guest =
        ConnectOptions::with_user_and_password(String::from("guest"), String::from("guest"));
    let client = guest.connect(nats.url()).await.unwrap();
    let error = Election::start(client, config("a", SHORT)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");

    let right = ConnectOptions::with_user_and_password(String::from("ccm"), String::from("right"));
    let client = right.connect(nats.url()).await.unwrap();
    assert!(Election::start(client, config("a", SHORT)).await.is_ok());
}

#[tokio::test]
async fn numbers_and_names_that_cannot_work_are_refused_before_anything_is_asked() {
    let nats = NatsServer::start();
    let client = connect(&nats.url()).await;
    let tight = Timing { ttl: Duration::from_secs(3), heartbeat: Duration::from_secs(3) };
    let error = Election::start(client.clone(), config("a", tight)).await.unwrap_err();
    assert!(matches!(error, ElectionError::Timing(_)), "{error}");
    let mut named = config("a", SHORT);
    named.bucket = String::from("a.b");
    let error = Election::start(client, named).await.unwrap_err();
    assert!(error.to_string().contains("'a.b' is not a bucket name"), "{error}");
    let info = nats.request("$JS.API.INFO", &json!({}));
    assert_eq!(info["streams"], 0);
}
