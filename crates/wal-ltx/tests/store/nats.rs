//! What only a server can do: go away, go back, be made anew.

use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::store::{LtxName, LtxStore as _};
use futures_util::StreamExt as _;

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

/// Whole listings that were asked for since the last look, as a bystander hears.
async fn whole_listings(client: &async_nats::Client, asked: &mut async_nats::Subscriber) -> usize {
    // What was asked for before this mark is heard before it, within twenty seconds.
    client.publish("mark", bytes::Bytes::new()).await.unwrap();
    let mut count = 0;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), asked.next()).await;
        let message = next.unwrap().unwrap();
        if message.subject.as_str() == "mark" {
            return count;
        }
        let text = String::from_utf8_lossy(&message.payload);
        count += usize::from(text.contains("subjects_filter"));
    }
}

#[tokio::test]
async fn a_node_that_takes_over_reads_only_what_is_new_unless_something_was_removed() {
    let nats = NatsServer::start();
    let (old, new) = (nats.open().await, nats.open().await);
    let bystander = async_nats::connect(nats.url()).await.unwrap();
    let mut asked = bystander.subscribe(">").await.unwrap();
    let before = old.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    for txid in 1..=3 {
        put(&old, before, txid, b"before").await.unwrap();
    }
    let names = async || -> Vec<LtxName> {
        let listed: Vec<LtxName> = new.list().await.unwrap().iter().map(|i| i.name).collect();
        let other = nats.open().await.list().await.unwrap();
        assert_eq!(listed, other.iter().map(|i| i.name).collect::<Vec<_>>());
        listed
    };
    names().await;
    put(&old, before, 4, b"the last").await.unwrap();
    whole_listings(&bystander, &mut asked).await;

    let fence = new.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    let listed = new.list().await.unwrap();
    assert_eq!(whole_listings(&bystander, &mut asked).await, 0);
    assert_eq!(listed.iter().map(|i| i.name).collect::<Vec<_>>(), [1, 2, 3, 4].map(l0));

    // The tombstone takes the place of the object, and is purged.
    new.delete(fence, l0(1)).await.unwrap();
    new.sweep(fence).await.unwrap();
    let fence = new.move_fence(Epoch::new(3), &node("b")).await.unwrap();
    assert_eq!(names().await, [2, 3, 4].map(l0));
    assert!(whole_listings(&bystander, &mut asked).await >= 2, "the new store's, and this one's");
    put(&new, fence, 5, b"after").await.unwrap();
    new.delete(fence, l0(2)).await.unwrap();
    new.move_fence(Epoch::new(4), &node("b")).await.unwrap();
    assert_eq!(names().await, [3, 4, 5].map(l0));
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
