//! Servers and buckets that cannot be used, and objects that are damaged.

use std::path::Path;

use async_nats::ConnectOptions;
use bytes::Bytes;
use ccm_harness::{NatsServer, wait};
use ccm_types::Epoch;
use ccm_wal_ltx::store::{LtxStore as _, NatsStore, NatsStoreConfig, StoreError};
use serde_json::{Value, json};

use crate::place::{BUCKET, Place as _, WITHIN, config, l0, large, node, put};

const STREAM: &str = "OBJ_convex-test-wal";

/// The configuration of the stream of an object store, with some of it replaced.
fn stream(other: &Value) -> Value {
    let mut config = json!({
        "name": STREAM,
        "subjects": [format!("$O.{BUCKET}.C.>"), format!("$O.{BUCKET}.M.>")],
        "discard": "new",
        "allow_rollup_hdrs": true,
        "allow_direct": true,
    });
    for (key, value) in other.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn make(nats: &NatsServer, config: &Value) {
    let made = nats.request(&format!("$JS.API.STREAM.CREATE.{STREAM}"), config);
    assert!(made["error"].is_null(), "{made}");
}

async fn refused(nats: &NatsServer, config: NatsStoreConfig) -> String {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let error = NatsStore::open(client, config).await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignBucket { .. }), "{error:?}");
    assert!(!error.is_transient());
    error.to_string()
}

#[tokio::test]
async fn a_stream_that_is_no_object_store_is_refused_with_the_reason() {
    let cases = [
        (json!({ "subjects": ["orders.>"] }), "subjects"),
        (json!({ "subjects": [format!("$O.{BUCKET}.M.>")] }), "subjects"),
        (json!({ "allow_rollup_hdrs": false }), "replace messages"),
        (json!({ "deny_purge": true, "allow_rollup_hdrs": false }), "replace messages"),
        (json!({ "retention": "workqueue" }), "drops messages"),
    ];
    for (other, why) in cases {
        let nats = NatsServer::start();
        make(&nats, &stream(&other));
        let error = refused(&nats, config()).await;
        assert!(error.contains(why) && error.contains(BUCKET), "{other}: {error}");
    }
}

#[tokio::test]
async fn a_sealed_bucket_is_refused() {
    let nats = NatsServer::start();
    make(&nats, &stream(&json!({})));
    let sealed = stream(&json!({ "sealed": true }));
    let made = nats.request(&format!("$JS.API.STREAM.UPDATE.{STREAM}"), &sealed);
    assert!(made["error"].is_null(), "{made}");
    let error = refused(&nats, config()).await;
    assert!(error.contains("sealed"), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_not_made_unless_that_is_wanted() {
    let nats = NatsServer::start();
    let error = refused(&nats, NatsStoreConfig { create: false, ..config() }).await;
    assert!(error.contains("does not exist"), "{error}");
    for bucket in ["", "a.b", "a b", "a>"] {
        let config = NatsStoreConfig { bucket: String::from(bucket), ..config() };
        assert!(refused(&nats, config).await.contains("name"));
    }
    let info = nats.request("$JS.API.INFO", &json!({}));
    assert_eq!(info["streams"], 0);
}

#[tokio::test]
async fn objects_of_something_else_are_refused_with_their_name() {
    let nats = NatsServer::start();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let config_of = |bucket| async_nats::jetstream::object_store::Config {
        bucket: String::from(bucket),
        ..Default::default()
    };
    let bucket = jetstream.create_object_store(config_of(BUCKET)).await.unwrap();
    bucket.put("holiday.jpg", &mut b"x".as_slice()).await.unwrap();
    let error = refused(&nats, config()).await;
    assert!(error.contains("holiday.jpg"), "{error}");
    // Once it is gone the bucket can be used.
    bucket.delete("holiday.jpg").await.unwrap();
    assert_eq!(nats.open().await.list().await.unwrap(), []);
}

#[tokio::test]
async fn messages_that_are_no_metadata_are_refused() {
    let meta = json!({ "name": l0(1).to_string(), "bucket": BUCKET, "nuid": "a.>", "size": 1,
                       "chunks": 1 });
    let cases = [("what is this", "not object metadata"), (&meta.to_string(), "chunk id")];
    for (text, why) in cases {
        let nats = NatsServer::start();
        make(&nats, &stream(&json!({})));
        let client = async_nats::connect(nats.url()).await.unwrap();
        let stream = async_nats::jetstream::new(client);
        let payload = Bytes::copy_from_slice(text.as_bytes());
        let subject = format!("$O.{BUCKET}.M.x");
        stream.publish(subject, payload).await.unwrap().await.unwrap();
        let error = refused(&nats, config()).await;
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_fence_that_cannot_be_read_lets_nobody_take_over() {
    let nats = NatsServer::start();
    let store = nats.open().await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client);
    let subject = format!("$O.{BUCKET}.C.ccm-fence");
    stream.publish(subject, Bytes::from_static(b"{}")).await.unwrap().await.unwrap();
    let error = store.move_fence(Epoch::new(1), &node("a")).await.unwrap_err();
    assert!(matches!(&error, StoreError::ForeignBucket { .. }), "{error}");
    assert!(error.to_string().contains("fence"), "{error}");
}

/// A server that lets in the user `ccm` with this password, and what else is said of it.
fn accounts(path: &Path, password: &str, permissions: &str) {
    let text = format!(
        "authorization {{ users = [ {{ user: ccm, password: {password}{permissions} }} ] }}\n"
    );
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn credentials_that_are_not_taken_any_more_are_no_fence_and_heal() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("nats.conf");
    accounts(&conf, "first", "");
    let mut nats = NatsServer::start_with(&["-c", conf.to_str().unwrap()]);
    let wrong = ConnectOptions::with_user_and_password("ccm".into(), "wrong".into());
    assert!(wrong.connect(nats.url()).await.is_err());
    let options = ConnectOptions::with_user_and_password("ccm".into(), "first".into())
        .reconnect_delay_callback(|_| std::time::Duration::from_millis(50));
    let client = options.connect(nats.url()).await.unwrap();
    let store = NatsStore::open(client, config()).await.unwrap();
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();

    accounts(&conf, "second", "");
    nats.restart();
    for _ in 0..3 {
        let error = put(&store, fence, 2, b"two").await.unwrap_err();
        assert!(error.is_transient() && !error.is_fenced(), "{error}");
    }
    accounts(&conf, "first", "");
    nats.restart();
    wait::until_async(WITHIN, "the store to write again", tokio::time::sleep, || async {
        put(&store, fence, 2, b"two").await.ok()
    })
    .await;
    assert_eq!(store.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_account_that_may_not_write_into_the_bucket_stores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("nats.conf");
    accounts(&conf, "x", "");
    let mut nats = NatsServer::start_with(&["-c", conf.to_str().unwrap()]);
    let options = || ConnectOptions::with_user_and_password("ccm".into(), "x".into());
    let client = options().connect(nats.url()).await.unwrap();
    let store = NatsStore::open(client, config()).await.unwrap();
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();

    accounts(&conf, "x", ", permissions: { publish: { deny: \"$O.>\" } }");
    nats.restart();
    let client = options().connect(nats.url()).await.unwrap();
    let short = NatsStoreConfig { timeout: std::time::Duration::from_millis(500), ..config() };
    let store = NatsStore::open(client, short).await.unwrap();
    let error = put(&store, fence, 2, b"two").await.unwrap_err();
    assert!(error.is_transient() && !error.is_fenced(), "{error}");
    let error = store.move_fence(Epoch::new(2), &node("a")).await.unwrap_err();
    assert!(error.is_ambiguous(), "{error}");
    assert_eq!(store.get(l0(1)).await.unwrap().as_ref(), b"one");
    assert_eq!(store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_without_jetstream_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("nats.conf");
    let accounts =
        "accounts { A { users = [ { user: ccm, password: x } ] }, B { jetstream: enabled,
                    users = [ { user: other, password: x } ] } }\n";
    std::fs::write(&conf, accounts).unwrap();
    let nats = NatsServer::start_with(&["-c", conf.to_str().unwrap()]);
    let options = ConnectOptions::with_user_and_password("ccm".into(), "x".into());
    let client = options.connect(nats.url()).await.unwrap();
    let error = NatsStore::open(client, config()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("JetStream"), "{error}");
}

/// The ids of the uploads in the bucket.
fn chunk_subject(nats: &NatsServer) -> String {
    let query = json!({ "subjects_filter": format!("$O.{BUCKET}.C.>") });
    let info = nats.request(&format!("$JS.API.STREAM.INFO.{STREAM}"), &query);
    let subjects = info["state"]["subjects"].as_object().unwrap();
    subjects.keys().find(|subject| !subject.contains("ccm-")).unwrap().clone()
}

#[tokio::test]
async fn a_chunk_that_is_missing_or_another_is_damage_and_never_content() {
    for missing in [true, false] {
        let nats = NatsServer::start();
        let store = nats.open().await;
        let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
        let body = large(300_000);
        put(&store, fence, 1, &body).await.unwrap();
        let subject = chunk_subject(&nats);
        // The last of three chunks.
        let get = format!("$JS.API.STREAM.MSG.GET.{STREAM}");
        let last = nats.request(&get, &json!({ "last_by_subj": subject }));
        let delete = format!("$JS.API.STREAM.MSG.DELETE.{STREAM}");
        let gone = nats.request(&delete, &json!({ "seq": last["message"]["seq"] }));
        assert_eq!(gone["success"], true, "{gone}");
        if !missing {
            let client = async_nats::connect(nats.url()).await.unwrap();
            let stream = async_nats::jetstream::new(client);
            let mut other = body[2 * 131_072..].to_vec();
            other[0] ^= 1;
            stream.publish(subject, other.into()).await.unwrap().await.unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let errors = [
            store.get(l0(1)).await.unwrap_err(),
            store.get_to_file(l0(1), &path).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, StoreError::Damaged { name, .. } if *name == l0(1)));
            assert!(!error.is_transient());
            let why = if missing { "only 2 of 3 chunks" } else { "digest" };
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(!path.exists());
        if missing {
            let first = store.piece(l0(1), None).await.unwrap();
            let error = store.piece(l0(1), Some(&first.next)).await.unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}
