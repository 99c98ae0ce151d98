//! Where a bucket can be: in memory, in a folder, on a server.

use std::time::Duration;

use bytes::Bytes;
use ccm_harness::NatsServer;
use ccm_types::{NodeId, Txid};
use ccm_wal_ltx::store::{
    Body, DirStore, Fence, Level, LtxName, LtxStore, MemStore, NatsStore, NatsStoreConfig,
    StoreError,
};

pub(crate) const WITHIN: Duration = Duration::from_secs(30);

pub(crate) const BUCKET: &str = "convex-test-wal";

/// A bucket that several nodes can open.
pub(crate) trait Place {
    type Store: LtxStore + Clone;

    fn make() -> Self;

    async fn open(&self) -> Self::Store;
}

impl Place for MemStore {
    type Store = Self;

    fn make() -> Self {
        Self::default()
    }

    async fn open(&self) -> Self {
        self.clone()
    }
}

#[derive(Debug)]
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Place for Folder {
    type Store = DirStore;

    fn make() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> DirStore {
        DirStore::open(self.0.path().join("bucket")).await.unwrap()
    }
}

impl Place for NatsServer {
    type Store = NatsStore;

    fn make() -> Self {
        Self::start()
    }

    async fn open(&self) -> NatsStore {
        let client = async_nats::connect(self.url()).await.unwrap();
        NatsStore::open(client, config()).await.unwrap()
    }
}

pub(crate) fn config() -> NatsStoreConfig {
    NatsStoreConfig {
        bucket: String::from(BUCKET),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(5),
        max_age: None,
    }
}

pub(crate) fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

pub(crate) fn name(level: u8, min: u64, max: u64) -> LtxName {
    LtxName { level: Level::new(level).unwrap(), min: Txid::new(min), max: Txid::new(max) }
}

pub(crate) fn l0(txid: u64) -> LtxName {
    name(0, txid, txid)
}

pub(crate) async fn put<S: LtxStore>(
    store: &S,
    fence: Fence,
    txid: u64,
    body: &[u8],
) -> Result<(), StoreError> {
    store.put(fence, l0(txid), 1_000, Body::Bytes(Bytes::copy_from_slice(body))).await
}

/// Bytes in which no place looks like another.
pub(crate) fn large(len: u32) -> Vec<u8> {
    (0..len).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}
