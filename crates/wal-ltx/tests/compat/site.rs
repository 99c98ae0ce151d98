//! One bucket, and those who have the database one after the other.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccm_harness::wait;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::compact::{CompactConfig, pass};
use ccm_wal_ltx::plan::{Retention, Schedule};
use ccm_wal_ltx::store::{Fence, Level, LtxName, LtxStore};
use rusqlite::Connection;

use crate::readers::{
    WITHIN, ours_follows, ours_restores, rows, stock_replicates, stock_restores, stock_vfs,
};

/// What happens to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// We restore, capture, and take a snapshot in between.
    Ours,
    /// Our snapshots go: everything is in level 0.
    NoSnapshots,
    /// We merge level 0 into 1, 2 and 3, and what was merged goes.
    Merged,
    /// All goes that the newest snapshot makes superfluous.
    OnlySnapshot,
    /// Litestream restores and replicates.
    Stock,
    /// Litestream takes a snapshot of what it has.
    StockSnapshot,
}

/// A bucket and what both sides need to find it.
#[derive(Debug)]
pub(crate) struct Site<S> {
    store: S,
    url: String,
    /// The section of a replica in Litestream's configuration.
    replica: String,
    dir: tempfile::TempDir,
    copies: u32,
    epoch: Epoch,
    fence: Option<Fence>,
    /// The database that is written, and its rows.
    database: PathBuf,
    expected: Vec<String>,
}

fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    let prepare = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
                   CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)";
    connection.execute_batch(prepare).unwrap();
    connection
}

/// Grows, changes and removes.
fn write(connection: &Connection) {
    let sql = "INSERT INTO t(v) SELECT randomblob(2000) FROM t LIMIT 20;
               INSERT INTO t(v) VALUES (randomblob(9000));
               UPDATE t SET v = randomblob(700) WHERE id % 5 = 0;
               DELETE FROM t WHERE id % 7 = 3";
    connection.execute_batch(sql).unwrap();
}

impl<S: LtxStore + Clone> Site<S> {
    pub(crate) fn new(store: S, url: String, replica: String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("none.db");
        let (epoch, expected) = (Epoch::NONE, Vec::new());
        Self { store, url, replica, dir, copies: 0, epoch, fence: None, database, expected }
    }

    /// Every step, and after it every reader.
    pub(crate) async fn run(mut self, title: &str, steps: &[Step]) {
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Ours => self.ours().await,
                Step::NoSnapshots => self.delete(|name, _| name.level == Level::SNAPSHOT).await,
                Step::Merged => self.merge().await,
                Step::OnlySnapshot => {
                    self.delete(|name, snapshot| {
                        let newest = name.level == Level::SNAPSHOT && name.max == snapshot;
                        !newest && name.max <= snapshot
                    })
                    .await;
                }
                Step::Stock => self.stock().await,
                Step::StockSnapshot => self.stock_replicates(&["-force-snapshot"]),
            }
            self.expected = rows(&self.database);
            self.read_by_all(&format!("{title}, step {number} {step:?}")).await;
        }
    }

    async fn read_by_all(&mut self, when: &str) {
        let copy = self.fresh("read-by-stock");
        stock_restores(&self.url, &copy);
        assert!(rows(&copy) == self.expected, "{when}: litestream restore");
        assert!(stock_vfs(&self.url) == self.expected, "{when}: Litestream's VFS");
        let copy = self.fresh("read-by-us");
        ours_restores(&self.store, &copy).await;
        assert!(rows(&copy) == self.expected, "{when}: our restore");
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let followed = ours_follows(&self.store, dir.path()).await;
        assert!(followed == self.expected, "{when}: our passive node");
    }

    fn fresh(&mut self, name: &str) -> PathBuf {
        self.copies += 1;
        self.dir.path().join(format!("{name}-{}.db", self.copies))
    }

    async fn ours(&mut self) {
        self.epoch = self.epoch.next();
        let node = NodeId::new("a").unwrap();
        let fence = self.store.move_fence(self.epoch, &node).await.unwrap();
        self.fence = Some(fence);
        let data = self.fresh("ours");
        let spool = data.with_extension("spool");
        std::fs::create_dir(&spool).unwrap();
        let mut config = CaptureConfig::new(data.clone(), spool);
        config.snapshot_interval = Duration::from_millis(50);
        let begun = !self.expected.is_empty();
        if begun {
            config.base = Some(ours_restores(&self.store, &data).await);
        } else {
            application(&data).close().unwrap();
        }
        let before = self.snapshot().await;
        let start = Capture::start(self.store.clone(), fence, config);
        let mut capture = start.await.unwrap();
        let mut progress = capture.progress();
        let connection = application(&data);
        for _ in 0..4 {
            let before = progress.borrow().txid;
            write(&connection);
            let shipped = progress.wait_for(|p| p.txid > before);
            tokio::time::timeout(WITHIN, shipped).await.unwrap().unwrap();
        }
        wait::until_async(WITHIN, "a snapshot of ours", tokio::time::sleep, || async {
            (self.snapshot().await > before).then_some(())
        })
        .await;
        write(&connection);
        capture.flush(WITHIN).await.unwrap();
        self.database = data;
    }

    /// The transaction of the newest snapshot.
    async fn snapshot(&self) -> Txid {
        let files = self.store.list().await.unwrap();
        let snapshots = files.iter().filter(|file| file.name.level == Level::SNAPSHOT);
        snapshots.map(|file| file.name.max).max().unwrap_or_default()
    }

    /// Deletes what `superfluous` says of a name and the newest snapshot.
    async fn delete(&self, superfluous: impl Fn(LtxName, Txid) -> bool) {
        let snapshot = self.snapshot().await;
        for file in self.store.list().await.unwrap() {
            if superfluous(file.name, snapshot) {
                self.store.delete(self.fence.unwrap(), file.name).await.unwrap();
            }
        }
    }

    async fn merge(&self) {
        let history = Duration::from_secs(100_000);
        let config = CompactConfig {
            schedule: Schedule {
                intervals: [10, 30, 60].map(Duration::from_secs).to_vec(),
                ..Schedule::default()
            },
            retention: Retention { level0: Duration::from_secs(5), ..Retention::new(history) },
            settle: Duration::ZERO,
            ..CompactConfig::new(self.dir.path().to_path_buf(), history)
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let soon = i64::try_from((now + Duration::from_secs(120)).as_millis()).unwrap();
        let done = pass(&self.store, self.fence.unwrap(), &config, soon).await.unwrap();
        assert!(done.compacted > 0 && done.deleted > 0, "{done:?}");
    }

    async fn stock(&mut self) {
        let data = self.fresh("stock");
        if !self.expected.is_empty() {
            stock_restores(&self.url, &data);
        }
        self.database = data.clone();
        let before = self.store.tip().await.unwrap();
        let connection = application(&data);
        for _ in 0..3 {
            write(&connection);
            self.stock_replicates(&[]);
        }
        // Once is not always enough for Litestream to ship all there is.
        let all = rows(&data);
        wait::until_async(WITHIN, "Litestream to ship the rest", tokio::time::sleep, || async {
            let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
            if ours_follows(&self.store, dir.path()).await == all {
                return Some(());
            }
            self.stock_replicates(&[]);
            None
        })
        .await;
        assert!(self.store.tip().await.unwrap() > before);
        assert!(self.store.list().await.unwrap().iter().any(|file| file.epoch.is_none()));
    }

    fn stock_replicates(&self, and: &[&str]) {
        let config = self.database.with_extension("yml");
        let text = format!(
            "dbs:\n  - path: {}\n    replica:\n      {}\n",
            self.database.display(),
            self.replica
        );
        std::fs::write(&config, text).unwrap();
        stock_replicates(&config, and);
    }
}
