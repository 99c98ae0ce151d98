//! A cluster that others have made: a lease record and a snapshot in NATS.

use std::time::Duration;

use async_nats::jetstream::{self, kv};
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::codec::{LtxEncoder, LtxHeader};
use ccm_wal_ltx::store::{Body, Level, LtxName, LtxStore as _, NatsStore, NatsStoreConfig};
use serde_json::json;

const PAGE: usize = 4096;

/// Writes a lease record.
pub(crate) async fn lead(url: &str, node: &str, epoch: u64, released: bool) {
    let client = async_nats::connect(url).await.unwrap();
    let bucket = String::from("convex-test-election");
    let config = kv::Config { bucket, history: 1, ..kv::Config::default() };
    let kv = jetstream::new(client).create_key_value(config).await.unwrap();
    let record = json!({
        "nodeId": node,
        "epoch": epoch,
        "instance": "i",
        "ttlMs": 10_000,
        "address": "127.0.0.1",
        "acquiredAt": "2026-01-01T00:00:00Z",
        "released": released,
    });
    kv.put("leader", record.to_string().into()).await.unwrap();
}

/// Writes a database with one row as a snapshot.
pub(crate) async fn snapshot(url: &str, row: &str) {
    let client = async_nats::connect(url).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from("convex-test-wal"),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(5),
        max_age: None,
    };
    let store = NatsStore::open(client, config).await.unwrap();
    let fence = store.move_fence(Epoch::new(1), &NodeId::new("node-1").unwrap()).await.unwrap();
    let name = LtxName { level: Level::SNAPSHOT, min: Txid::new(1), max: Txid::new(1) };
    let body = Body::Bytes(encoded(row).into());
    store.put(fence, name, 1_700_000_000_000, body).await.unwrap();
}

fn encoded(row: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("source.db");
    let source = rusqlite::Connection::open(&path).unwrap();
    source.execute_batch("create table t(x)").unwrap();
    source.execute("insert into t values (?1)", [row]).unwrap();
    source.close().unwrap();
    let bytes = std::fs::read(path).unwrap();
    let header = LtxHeader {
        page_size: u32::try_from(PAGE).unwrap(),
        commit: u32::try_from(bytes.len() / PAGE).unwrap(),
        min: Txid::new(1),
        max: Txid::new(1),
        timestamp_ms: 1_700_000_000_000,
        wal_offset: 32,
        wal_size: 0,
        wal_salt1: 1,
        wal_salt2: 2,
    };
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    for (number, page) in (1..).zip(bytes.chunks(PAGE)) {
        encoder.page(number, page).unwrap();
    }
    encoder.finish().unwrap()
}
