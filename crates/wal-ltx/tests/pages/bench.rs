//! A database of a given shape, its bucket, and what comes out of it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ccm_harness::wait;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::restore::{RestoreOptions, restore};
use ccm_wal_ltx::store::{Fence, Level, LtxStore, MemStore};
use rusqlite::Connection;

pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) store: MemStore,
    pub(crate) fence: Fence,
    pub(crate) local: Arc<Local>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = MemStore::default();
        let fence = store.move_fence(Epoch::new(1), &NodeId::new("a").unwrap()).await.unwrap();
        std::fs::create_dir(dir.path().join("spool")).unwrap();
        let local = local(&dir.path().join("passive"));
        Self { dir, store, fence, local }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data.db")
    }

    pub(crate) fn config(&self) -> CaptureConfig {
        CaptureConfig::new(self.data(), self.path("spool"))
    }

    pub(crate) async fn capture(&self) -> Capture {
        Capture::start(self.store.clone(), self.fence, self.config()).await.unwrap()
    }

    /// Brings the replica to the end of the bucket.
    pub(crate) async fn follow(&self) -> PathBuf {
        catch_up(&self.store, &self.local, WITHIN, |_, _| {}).await.unwrap();
        self.path("passive/replica.db")
    }

    /// Makes a database out of the bucket.
    pub(crate) async fn restored(&self, name: &str) -> PathBuf {
        let output = self.path(name);
        // It is compared byte for byte: SQLite need not read it.
        let options = RestoreOptions { check: false, ..RestoreOptions::new(output.clone()) };
        restore(&self.store, &options, |_| {}).await.unwrap();
        output
    }

    /// Waits for a snapshot that ends with this transaction.
    pub(crate) async fn snapshot_of(&self, txid: Txid) {
        let look = async || {
            let files = self.store.list().await.unwrap();
            let of = |f: &ccm_wal_ltx::store::LtxInfo| {
                f.name.level == Level::SNAPSHOT && f.name.max >= txid
            };
            files.iter().any(of).then_some(())
        };
        wait::until_async(WITHIN, "a snapshot", tokio::time::sleep, look).await;
    }

    /// The database itself; nobody has it open.
    pub(crate) fn checkpointed(&self) -> PathBuf {
        let data = self.data();
        let connection = Connection::open(&data).unwrap();
        let busy: i64 =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0);
        connection.close().unwrap();
        data
    }
}

pub(crate) fn local(dir: &Path) -> Arc<Local> {
    std::fs::create_dir_all(dir).unwrap();
    let paths = Paths { data: dir.join("data.db"), replica: dir.join("replica.db"), owner: None };
    Arc::new(Local::open(paths).unwrap())
}

/// Opens the database for writes; `pragmas` shape a new one.
pub(crate) fn application(data: &Path, pragmas: &str) -> Connection {
    let connection = Connection::open(data).unwrap();
    connection.busy_timeout(WITHIN).unwrap();
    connection.execute_batch(pragmas).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = off;
             PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB);",
        )
        .unwrap();
    connection
}

/// Fails unless two files are the same, byte for byte; needs little memory.
pub(crate) fn assert_same(one: &Path, other: &Path, what: &str) {
    let len = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert_eq!(len(one), len(other), "{what}: sizes differ");
    let mut files = [one, other].map(|path| File::open(path).unwrap());
    let mut parts = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut at = 0;
    while at < len(one) {
        let part = usize::try_from((len(one) - at).min(1 << 20)).unwrap();
        for (file, bytes) in files.iter_mut().zip(&mut parts) {
            file.read_exact(&mut bytes[..part]).unwrap();
        }
        assert!(parts[0][..part] == parts[1][..part], "{what}: the MiB at byte {at} differs");
        at += part as u64;
    }
}
