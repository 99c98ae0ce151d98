//! The NATS store against a real nats-server, and against the real litestream.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use ccm_harness::NatsServer;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::codec::{LtxEncoder, LtxHeader, lock_page};
use ccm_wal_ltx::store::{
    Body, Fence, Level, LtxName, LtxStore, NatsStore, NatsStoreConfig, StoreError,
};

const BUCKET: &str = "convex-test-wal";

async fn open(nats: &NatsServer) -> NatsStore {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from(BUCKET),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(5),
        max_age: None,
    };
    NatsStore::open(client, config).await.unwrap()
}

fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

fn l0(txid: u64) -> LtxName {
    LtxName { level: Level::L0, min: Txid::new(txid), max: Txid::new(txid) }
}

async fn put(store: &NatsStore, fence: Fence, txid: u64, body: &[u8]) -> Result<(), StoreError> {
    store.put(fence, l0(txid), 1_000, Body::Bytes(Bytes::copy_from_slice(body))).await
}

#[tokio::test]
async fn an_old_epoch_cannot_write_after_the_fence_has_moved() {
    let nats = NatsServer::start();
    let (old, new) = (open(&nats).await, open(&nats).await);
    assert_eq!(old.fence().await.unwrap(), None);
    let first = old.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&old, first, 1, b"one").await.unwrap();
    let second = new.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    assert!(put(&old, first, 2, b"late").await.unwrap_err().is_fenced());
    assert!(old.delete(first, l0(1)).await.unwrap_err().is_fenced());
    put(&new, second, 2, b"two").await.unwrap();
    let names: Vec<LtxName> = new.list().await.unwrap().iter().map(|i| i.name).collect();
    assert_eq!(names, [l0(1), l0(2)]);
    assert_eq!(new.get(l0(2)).await.unwrap().as_ref(), b"two");
    assert_eq!(new.list().await.unwrap()[1].epoch, Some(Epoch::new(2)));
}

#[tokio::test]
async fn the_fence_never_goes_back_and_one_node_may_move_it_again() {
    let nats = NatsServer::start();
    let store = open(&nats).await;
    let five = store.move_fence(Epoch::new(5), &node("a")).await.unwrap();
    assert!(store.move_fence(Epoch::new(4), &node("b")).await.unwrap_err().is_fenced());
    assert!(store.move_fence(Epoch::new(5), &node("b")).await.unwrap_err().is_fenced());
    let again = store.move_fence(Epoch::new(5), &node("a")).await.unwrap();
    assert!(again.token > five.token);
    assert!(put(&store, five, 1, b"x").await.unwrap_err().is_fenced());
    put(&store, again, 1, b"x").await.unwrap();
}

#[tokio::test]
async fn a_name_is_never_written_twice_and_the_same_content_is_no_conflict() {
    let nats = NatsServer::start();
    let store = open(&nats).await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();
    assert!(put(&store, fence, 1, b"other").await.unwrap_err().is_conflict());
    store.delete(fence, l0(1)).await.unwrap();
    store.delete(fence, l0(1)).await.unwrap();
    assert!(store.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_large_object_survives_in_chunks() {
    let nats = NatsServer::start();
    let store = open(&nats).await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let body: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    put(&store, fence, 1, &body).await.unwrap();
    assert_eq!(store.get(l0(1)).await.unwrap().as_ref(), body);
    let dir = tempfile::tempdir().unwrap();
    store.get_to_file(l0(1), &dir.path().join("x")).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("x")).unwrap(), body);
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_or_ambiguous_never_fenced() {
    let mut nats = NatsServer::start();
    let store = open(&nats).await;
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

/// The whole database file as one LTX transaction.
fn snapshot(database: &Path, txid: u64) -> Vec<u8> {
    let bytes = std::fs::read(database).unwrap();
    let page_size = 4096_u32;
    let pages = u32::try_from(bytes.len()).unwrap() / page_size;
    let header = LtxHeader {
        page_size,
        commit: pages,
        min: Txid::new(1),
        max: Txid::new(txid),
        timestamp_ms: 1_700_000_000_000,
        wal_offset: 32,
        wal_size: 0,
        wal_salt1: 1,
        wal_salt2: 2,
    };
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    for (pgno, page) in (1..).zip(bytes.chunks(4096)) {
        if pgno != lock_page(page_size) {
            encoder.page(pgno, page).unwrap();
        }
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn stock_litestream_restores_what_we_wrote() {
    let nats = NatsServer::start();
    let store = open(&nats).await;
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("source.db");
    let source = rusqlite::Connection::open(&database).unwrap();
    source.execute_batch("create table t(x); insert into t values ('hello'),('world');").unwrap();
    source.close().unwrap();
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, &snapshot(&database, 1)).await.unwrap();
    let name = LtxName { level: Level::SNAPSHOT, ..l0(1) };
    let body = Body::Bytes(snapshot(&database, 1).into());
    store.put(fence, name, 1_700_000_000_000, body).await.unwrap();

    let restored = dir.path().join("restored.db");
    let url = format!("{}/{BUCKET}", nats.url());
    let mut restore = Command::new(ccm_harness::litestream());
    let output = restore.arg("restore").arg("-o").arg(&restored).arg(url).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let copy = rusqlite::Connection::open(&restored).unwrap();
    let rows: i64 = copy.query_row("select count(*) from t", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 2);
    let check: String = copy.query_row("pragma integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test]
async fn a_stream_that_has_gone_back_is_noticed_by_the_next_write_and_does_not_block() {
    let mut nats = NatsServer::start();
    let store = open(&nats).await;
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
    let store = open(&nats).await;
    let old = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let delete = format!("$JS.API.STREAM.DELETE.OBJ_{BUCKET}");
    assert_eq!(nats.request(&delete, &serde_json::json!({}))["success"], true);
    let anew = open(&nats).await;
    let new = anew.move_fence(Epoch::new(1), &node("b")).await.unwrap();
    assert!(new.token > old.token);
    assert!(put(&store, old, 1, b"late").await.unwrap_err().is_fenced());
}
