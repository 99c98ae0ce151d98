//! A bucket on a real nats-server, and what the real Litestream makes of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::compact::{CompactConfig, pass};
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::plan::{Retention, Schedule};
use ccm_wal_ltx::store::{
    Body, Fence, Level, LtxName, LtxStore, NatsStore, NatsStoreConfig, StoreError,
};
use serde_json::{Value, json};

use crate::source::{Passive, Source, node, timestamp};

pub(crate) const BUCKET: &str = "convex-test-wal";
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn open(nats: &NatsServer) -> NatsStore {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from(BUCKET),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(10),
        max_age: None,
    };
    NatsStore::open(client, config).await.unwrap()
}

/// Levels at 10, 30 and 60 s, level 0 for 5 s, the history as said.
pub(crate) fn config(spool: &Path, history: Duration) -> CompactConfig {
    CompactConfig {
        schedule: Schedule {
            intervals: [10, 30, 60].map(Duration::from_secs).to_vec(),
            ..Schedule::default()
        },
        retention: Retention { level0: Duration::from_secs(5), ..Retention::new(history) },
        settle: Duration::ZERO,
        ..CompactConfig::new(spool.to_path_buf(), history)
    }
}

/// Transaction `n` of a [`Source`] as a level-0 file.
pub(crate) async fn put<S: LtxStore>(
    store: &S,
    fence: Fence,
    source: &Source,
    n: u64,
) -> Result<(), StoreError> {
    let body = Body::Bytes(source.ltx(n, n).into());
    store.put(fence, crate::source::name(0, n, n), timestamp(n), body).await
}

pub(crate) struct Bench {
    pub(crate) nats: NatsServer,
    pub(crate) store: NatsStore,
    pub(crate) fence: Fence,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let nats = NatsServer::start();
        let store = open(&nats).await;
        let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("spool")).unwrap();
        Self { nats, store, fence, dir }
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    /// A pass at the time of transaction `at`; returns how many files it deleted.
    pub(crate) async fn pass(&self, history: Duration, at: u64) -> u64 {
        let config = config(&self.spool(), history);
        let done = pass(&self.store, self.fence, &config, timestamp(at)).await.unwrap();
        assert_eq!(std::fs::read_dir(self.spool()).unwrap().count(), 0, "the spool is empty");
        done.deleted
    }

    pub(crate) async fn names(&self) -> Vec<LtxName> {
        self.store.list().await.unwrap().iter().map(|file| file.name).collect()
    }

    pub(crate) async fn count(&self, level: u8) -> usize {
        let level = Level::new(level).unwrap();
        self.names().await.iter().filter(|name| name.level == level).count()
    }

    /// The stream's state as the server has it.
    pub(crate) fn state(&self) -> Value {
        let subject = format!("$JS.API.STREAM.INFO.OBJ_{BUCKET}");
        self.nats.request(&subject, &json!({}))["state"].clone()
    }

    pub(crate) fn messages(&self) -> u64 {
        self.state()["messages"].as_u64().unwrap()
    }

    /// What the real Litestream restores.
    pub(crate) async fn litestream(&self, arguments: &[&str]) -> Vec<u8> {
        let to = tempfile::tempdir_in(self.dir.path()).unwrap().keep().join("restored.db");
        let mut restore = Command::new(ccm_harness::litestream());
        restore.args(["restore", "-integrity-check", "full"]).args(arguments);
        restore.arg("-o").arg(&to).arg(format!("{}/{BUCKET}", self.nats.url()));
        let output = tokio::task::spawn_blocking(move || restore.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        std::fs::read(to).unwrap()
    }
}

/// Brings a passive node to the end of the bucket; its replica must be `expected`.
pub(crate) async fn check<S: LtxStore>(store: &S, passive: &Passive, source: &Source) {
    let position = catch_up(store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    assert_eq!(position.txid, Txid::new(source.txid()));
    assert!(passive.replica() == source.latest(), "the replica is another database");
}

/// Every row of a database in which SQLite finds nothing wrong.
fn rows(path: &Path) -> Vec<(i64, Vec<u8>)> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut select = connection.prepare("SELECT id, v FROM t ORDER BY id").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The replica, a new replica and what Litestream restores have the rows of the data file.
pub(crate) async fn check_rows(bench: &Bench, data: &Path, replica: &Path) {
    let expected = rows(data);
    assert!(!expected.is_empty());
    assert!(rows(replica) == expected, "the replica has other rows");
    let passive = Passive::new();
    catch_up(&bench.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    assert!(rows(&passive.path("replica.db")) == expected, "a new replica has other rows");
    let restored = bench.dir.path().join("litestream.db");
    std::fs::write(&restored, bench.litestream(&[]).await).unwrap();
    assert!(rows(&restored) == expected, "Litestream restores other rows");
}
