//! A database with an application, a bucket, and what a passive node makes of the bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ccm_harness::wait;
use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::store::{Fence, Level, LtxStore, MemStore};
use rusqlite::Connection;

pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) store: MemStore,
    pub(crate) fence: Fence,
}

pub(crate) fn node() -> NodeId {
    NodeId::new("a").unwrap()
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let store = MemStore::default();
        let fence = store.move_fence(Epoch::new(1), &node()).await.unwrap();
        let bench = Self { dir: tempfile::tempdir().unwrap(), store, fence };
        std::fs::create_dir(bench.path("spool")).unwrap();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data.db")
    }

    pub(crate) fn application(&self) -> Connection {
        application(&self.data())
    }

    pub(crate) fn config(&self) -> CaptureConfig {
        CaptureConfig {
            checkpoint_pages: 40,
            ..CaptureConfig::new(self.data(), self.path("spool"))
        }
    }

    pub(crate) async fn capture(&self) -> Capture {
        Capture::start(self.store.clone(), self.fence, self.config()).await.unwrap()
    }

    /// Waits until the bucket has so many snapshots.
    pub(crate) async fn snapshots(&self, count: usize) {
        let look = async || {
            let files = self.store.list().await.unwrap();
            let found = files.iter().filter(|f| f.name.level == Level::SNAPSHOT).count();
            (found >= count).then_some(())
        };
        wait::until_async(WITHIN, "snapshots", tokio::time::sleep, look).await;
    }

    /// What a passive node makes of the bucket has exactly the rows of the data file.
    pub(crate) async fn check(&self) {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let replica = rebuilt(&self.store, dir.path()).await;
        assert!(dump(&replica) == dump(&self.data()), "the replica has other rows");
    }
}

pub(crate) fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    connection.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = normal").unwrap();
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)")
        .unwrap();
    connection
}

pub(crate) fn write(connection: &Connection, rows: u32) {
    for _ in 0..rows {
        connection.execute("INSERT INTO t(v) VALUES (randomblob(300))", []).unwrap();
    }
}

pub(crate) async fn rebuilt<S: LtxStore>(store: &S, dir: &Path) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let (data, replica) = (dir.join("data.db"), dir.join("replica.db"));
    let paths = Paths { data, replica: replica.clone(), owner: None };
    let local = Arc::new(Local::open(paths).unwrap());
    catch_up(store, &local, WITHIN, |_, _| {}).await.unwrap();
    replica
}

/// Every row, and that SQLite finds nothing wrong.
pub(crate) fn dump(path: &Path) -> Vec<(i64, Vec<u8>)> {
    let connection = Connection::open(path).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut rows = connection.prepare("SELECT id, v FROM t ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0).unwrap(), row.get(1).unwrap()))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Writes from several threads while `during` runs.
pub(crate) fn writers(path: &Path, threads: u32, rows: u32) -> Vec<std::thread::JoinHandle<()>> {
    (0..threads)
        .map(|_| {
            let path = path.to_path_buf();
            std::thread::spawn(move || write(&application(&path), rows))
        })
        .collect()
}

pub(crate) async fn joined(threads: Vec<std::thread::JoinHandle<()>>) {
    tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| t.join().unwrap()))
        .await
        .unwrap();
}
