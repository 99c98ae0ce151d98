//! A bucket on a real server with the history of a database, and a folder to restore into.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use ccm_harness::NatsServer;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::plan::Target;
use ccm_wal_ltx::restore::{RestoreError, RestoreOptions, Restored, restore};
use ccm_wal_ltx::store::{Body, Fence, LtxName, LtxStore, NatsStore, NatsStoreConfig};

use crate::source::{Source, name, node, timestamp};

pub(crate) const BUCKET: &str = "convex-test-wal";

pub(crate) struct Bench {
    pub(crate) nats: NatsServer,
    pub(crate) store: NatsStore,
    pub(crate) fence: Fence,
    dir: tempfile::TempDir,
}

pub(crate) async fn open(nats: &NatsServer) -> NatsStore {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from(BUCKET),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(2),
        max_age: None,
    };
    NatsStore::open(client, config).await.unwrap()
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let nats = NatsServer::start();
        let store = open(&nats).await;
        let fence = store.move_fence(Epoch::new(1), &node("primary")).await.unwrap();
        Self { nats, store, fence, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn options(&self) -> RestoreOptions {
        RestoreOptions::new(self.path("restored.db"))
    }

    pub(crate) async fn put_bytes(&self, name: LtxName, bytes: Vec<u8>) {
        let body = Body::Bytes(Bytes::from(bytes));
        self.store.put(self.fence, name, timestamp(name.max.get()), body).await.unwrap();
    }

    pub(crate) async fn put(&self, source: &Source, level: u8, min: u64, max: u64) {
        self.put_bytes(name(level, min, max), source.ltx(min, max)).await;
    }

    pub(crate) async fn restore(&self) -> Result<Restored, RestoreError> {
        restore(&self.store, &self.options(), |_| {}).await
    }

    pub(crate) async fn restore_to(&self, target: Target) -> Result<Restored, RestoreError> {
        let options = RestoreOptions { target, ..self.options() };
        restore(&self.store, &options, |_| {}).await
    }

    /// What was restored; it is gone then.
    pub(crate) fn take(&self) -> Vec<u8> {
        let bytes = std::fs::read(self.path("restored.db")).unwrap();
        std::fs::remove_file(self.path("restored.db")).unwrap();
        bytes
    }

    /// What lies in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn to(txid: u64) -> Target {
    Target::Txid(Txid::new(txid))
}
