//! A cluster that others have made: a lease record and a snapshot in NATS.

use std::time::Duration;

use async_nats::jetstream::{self, kv};
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::codec::{LtxEncoder, LtxHeader};
use ccm_wal_ltx::store::{Body, Fence, Level, LtxName, LtxStore as _, NatsStore, NatsStoreConfig};
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
    let bucket = Bucket::open(url).await;
    let image = Database::new().insert(row).image();
    bucket.put(9, 1, 1, &image).await;
}

/// The bucket as its primary writes it.
pub(crate) struct Bucket {
    store: NatsStore,
    fence: Fence,
}

impl Bucket {
    pub(crate) async fn open(url: &str) -> Self {
        let client = async_nats::connect(url).await.unwrap();
        let config = NatsStoreConfig {
            bucket: String::from("convex-test-wal"),
            replicas: 1,
            create: true,
            timeout: Duration::from_secs(5),
            max_age: None,
        };
        let store = NatsStore::open(client, config).await.unwrap();
        let node = NodeId::new("node-1").unwrap();
        let fence = store.move_fence(Epoch::new(1), &node).await.unwrap();
        Self { store, fence }
    }

    /// A whole database as the transactions `min` to `max`.
    pub(crate) async fn put(&self, level: u8, min: u64, max: u64, image: &[u8]) {
        self.put_bytes(level, min, max, encoded(min, max, image)).await;
    }

    pub(crate) async fn put_bytes(&self, level: u8, min: u64, max: u64, bytes: Vec<u8>) {
        let level = Level::new(level).unwrap();
        let name = LtxName { level, min: Txid::new(min), max: Txid::new(max) };
        self.store.put(self.fence, name, time(max), Body::Bytes(bytes.into())).await.unwrap();
    }

    /// Three transactions, one row each; the database after each of them.
    pub(crate) async fn history(url: &str) -> Vec<Vec<u8>> {
        let (bucket, mut database) = (Self::open(url).await, Database::new());
        let mut images = Vec::new();
        for (txid, row) in (1..).zip(["one", "two", "three"]) {
            images.push(database.insert(row).image());
            bucket.put(0, txid, txid, images.last().unwrap()).await;
        }
        images
    }
}

/// When a transaction was committed: 22:13:21Z the first one, then one a second.
fn time(txid: u64) -> i64 {
    1_700_000_000_000 + i64::try_from(txid).unwrap() * 1000
}

/// A database with a table of rows.
pub(crate) struct Database {
    dir: tempfile::TempDir,
}

impl Database {
    pub(crate) fn new() -> Self {
        let database = Self { dir: tempfile::tempdir().unwrap() };
        database.run("pragma journal_mode = wal; create table t(x)");
        database
    }

    pub(crate) fn run(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.dir.path().join("source.db")).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
    }

    pub(crate) fn insert(&mut self, row: &str) -> &Self {
        self.run(&format!("insert into t values ('{row}')"));
        self
    }

    /// The file; closing has copied the WAL into it.
    pub(crate) fn image(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("source.db")).unwrap()
    }
}

pub(crate) fn encoded(min: u64, max: u64, image: &[u8]) -> Vec<u8> {
    let header = LtxHeader {
        page_size: u32::try_from(PAGE).unwrap(),
        commit: u32::try_from(image.len() / PAGE).unwrap(),
        min: Txid::new(min),
        max: Txid::new(max),
        timestamp_ms: time(max),
        wal_offset: 32,
        wal_size: 0,
        wal_salt1: 1,
        wal_salt2: 2,
    };
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    for (number, page) in (1..).zip(image.chunks(PAGE)) {
        encoder.page(number, page).unwrap();
    }
    encoder.finish().unwrap()
}
