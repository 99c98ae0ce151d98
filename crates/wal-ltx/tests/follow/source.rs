//! A real database whose every commit becomes an LTX file, and a node to replicate it to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::codec::{LtxEncoder, LtxHeader, lock_page};
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::store::{Body, Fence, Level, LtxName, LtxStore, MemStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// A database and its whole history.
pub(crate) struct Source {
    _dir: TempDir,
    path: PathBuf,
    connection: Connection,
    page_size: usize,
    /// After each transaction; the first one is the empty file.
    images: Vec<Vec<u8>>,
    random: u64,
}

impl Source {
    pub(crate) fn new(page_size: usize, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source.db");
        let connection = Connection::open(&path).unwrap();
        let prepare = format!(
            "pragma page_size = {page_size}; pragma auto_vacuum = incremental;
             pragma journal_mode = wal; pragma synchronous = off;"
        );
        connection.execute_batch(&prepare).unwrap();
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let images = vec![Vec::new()];
        let mut source = Self { _dir: dir, path, connection, page_size, images, random };
        source.commit("create table t(id integer primary key, x blob)");
        source
    }

    /// A number below `limit`, from the seed.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    pub(crate) fn commit(&mut self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
        let log = "pragma wal_checkpoint(truncate)";
        let busy: i64 = self.connection.query_row(log, [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0);
        self.images.push(std::fs::read(&self.path).unwrap());
    }

    /// Commits something: growth, change, removal, shrinking.
    pub(crate) fn commit_random(&mut self) {
        let (n, size) = (self.below(6), self.below(20_000));
        let id = self.below(30);
        self.commit(&match n {
            0..=2 => format!("insert or replace into t values ({id}, randomblob({size}))"),
            3 => format!("update t set x = randomblob({size}) where id % 3 = {}", id % 3),
            4 => format!("delete from t where id > {id}; pragma incremental_vacuum;"),
            _ => String::from("delete from t where id % 2 = 0; vacuum;"),
        });
    }

    pub(crate) fn txid(&self) -> u64 {
        u64::try_from(self.images.len()).unwrap() - 1
    }

    /// The database file after transaction `txid`.
    pub(crate) fn image(&self, txid: u64) -> &[u8] {
        &self.images[usize::try_from(txid).unwrap()]
    }

    pub(crate) fn latest(&self) -> &[u8] {
        self.image(self.txid())
    }

    fn page(&self, txid: u64, pgno: u32) -> Option<&[u8]> {
        let at = (pgno as usize - 1) * self.page_size;
        self.image(txid).get(at..at + self.page_size)
    }

    fn pages(&self, txid: u64) -> u32 {
        u32::try_from(self.image(txid).len() / self.page_size).unwrap()
    }

    /// The transactions `min` to `max` as one file: every page that any of them has changed.
    pub(crate) fn ltx(&self, min: u64, max: u64) -> Vec<u8> {
        let commit = self.pages(max);
        let mut changed = BTreeSet::new();
        for txid in min..=max {
            for pgno in 1..=self.pages(txid) {
                if min == 1 || self.page(txid, pgno) != self.page(txid - 1, pgno) {
                    changed.insert(pgno);
                }
            }
        }
        let page_size = u32::try_from(self.page_size).unwrap();
        let header = LtxHeader {
            page_size,
            commit,
            min: Txid::new(min),
            max: Txid::new(max),
            timestamp_ms: timestamp(max),
            wal_offset: 32,
            wal_size: 0,
            wal_salt1: 1,
            wal_salt2: 2,
        };
        let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
        for pgno in changed.into_iter().filter(|&p| p <= commit && p != lock_page(page_size)) {
            encoder.page(pgno, self.page(max, pgno).unwrap()).unwrap();
        }
        encoder.finish().unwrap()
    }
}

pub(crate) fn timestamp(txid: u64) -> i64 {
    1_700_000_000_000 + i64::try_from(txid).unwrap() * 1000
}

pub(crate) fn name(level: u8, min: u64, max: u64) -> LtxName {
    LtxName { level: Level::new(level).unwrap(), min: Txid::new(min), max: Txid::new(max) }
}

pub(crate) fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

/// A bucket that one primary writes.
pub(crate) struct Bucket {
    pub(crate) store: MemStore,
    pub(crate) fence: Fence,
}

impl Bucket {
    pub(crate) async fn new() -> Self {
        let store = MemStore::default();
        let fence = store.move_fence(Epoch::new(1), &node("primary")).await.unwrap();
        Self { store, fence }
    }

    /// The next primary takes over.
    pub(crate) async fn take_over(&mut self, epoch: u64, by: &str) {
        self.fence = self.store.move_fence(Epoch::new(epoch), &node(by)).await.unwrap();
    }

    pub(crate) async fn put_bytes(&self, name: LtxName, bytes: Vec<u8>) {
        let body = Body::Bytes(Bytes::from(bytes));
        self.store.put(self.fence, name, timestamp(name.max.get()), body).await.unwrap();
    }

    pub(crate) async fn put(&self, source: &Source, level: u8, min: u64, max: u64) {
        self.put_bytes(name(level, min, max), source.ltx(min, max)).await;
    }

    pub(crate) async fn delete(&self, level: u8, min: u64, max: u64) {
        self.store.delete(self.fence, name(level, min, max)).await.unwrap();
    }
}

/// The files of a passive node.
pub(crate) struct Passive {
    pub(crate) dir: TempDir,
    pub(crate) local: Arc<Local>,
}

impl Passive {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = open(&dir);
        Self { dir, local }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn replica(&self) -> Vec<u8> {
        std::fs::read(self.path("replica.db")).unwrap()
    }

    /// The process dies and another one starts.
    pub(crate) fn restart(self) -> Self {
        drop(self.local);
        let local = open(&self.dir);
        Self { dir: self.dir, local }
    }

    pub(crate) fn txid(&self) -> Option<u64> {
        self.local.replica_position().unwrap().map(|p| p.txid.get())
    }
}

fn open(dir: &TempDir) -> Arc<Local> {
    let paths = Paths {
        data: dir.path().join("data.db"),
        replica: dir.path().join("replica.db"),
        owner: None,
    };
    Arc::new(Local::open(paths).unwrap())
}
