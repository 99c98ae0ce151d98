//! What only a server can do: go away, go back, be made anew.

use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::store::{LtxName, LtxStore as _};

use crate::place::{BUCKET, Place as _, l0, node, put};

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_or_ambiguous_never_fenced() {
    let mut nats = NatsServer::start();
    let store = nats.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    nats.kill();
    assert!(put(&store, fence, 1, b"one").await.unwrap_err().is_transient());
    nats.restart();
    ccm_harness::wait::until_async(
        Duration::from_secs(20),
        "the store to write again",
        tokio::time::sleep,
        || async { put(&store, fence, 1, b"one").await.ok() },
    )
    .await;
    assert_eq!(store.tip().await.unwrap(), Txid::new(1));
}

#[tokio::test]
async fn a_stream_that_has_gone_back_is_noticed_by_the_next_write_and_does_not_block() {
    let mut nats = NatsServer::start();
    let store = nats.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();
    nats.keep();
    let again = async |txid: u64| {
        let putting = || put(&store, fence, txid, b"more");
        ccm_harness::wait::until_async(
            Duration::from_secs(30),
            "the server to take a write",
            tokio::time::sleep,
            || async { putting().await.ok() },
        )
        .await;
    };
    again(2).await;
    again(3).await;
    assert_eq!(store.losses(), 0);
    nats.go_back();
    // What was acknowledged is not there: a cut-off leader may say so, so it does not count yet.
    let stale = ccm_harness::wait::until_async(
        Duration::from_secs(30),
        "the server to answer",
        tokio::time::sleep,
        || async {
            let error = store.list().await.unwrap_err();
            error.to_string().contains("file list").then_some(error)
        },
    )
    .await;
    assert!(stale.is_transient(), "{stale}");
    again(4).await;
    assert_eq!(store.losses(), 1);
    let names: Vec<LtxName> = store.list().await.unwrap().iter().map(|i| i.name).collect();
    assert_eq!(names, [l0(1), l0(4)]);
}

#[tokio::test]
async fn a_bucket_that_is_made_anew_gives_no_token_twice() {
    let nats = NatsServer::start();
    let store = nats.open().await;
    let old = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let delete = format!("$JS.API.STREAM.DELETE.OBJ_{BUCKET}");
    assert_eq!(nats.request(&delete, &serde_json::json!({}))["success"], true);
    let anew = nats.open().await;
    let new = anew.move_fence(Epoch::new(1), &node("b")).await.unwrap();
    assert!(new.token > old.token);
    assert!(put(&store, old, 1, b"late").await.unwrap_err().is_fenced());
}
