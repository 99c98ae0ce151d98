//! One database, its application, its bucket and a passive node, and what happens to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccm_harness::wait;
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::capture::{Capture, CaptureConfig, CaptureProgress};
use ccm_wal_ltx::compact::{CompactConfig, pass};
use ccm_wal_ltx::follow::{FollowConfig, FollowProgress, Follower, catch_up};
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::store::{Fence, LtxStore};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::application::{Application, create, path};
use crate::dice::Dice;
use crate::expected::{assert_same, checkpointed, is_some_state};

const WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct World<S> {
    store: S,
    dice: Dice,
    dir: TempDir,
    page_size: u64,
    fence: Fence,
    application: Option<Application>,
    capture: Option<Capture>,
    local: Arc<Local>,
    follower: Option<Follower>,
    steps: u32,
    compared: u32,
    killed: u32,
}

fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

impl<S: LtxStore + Clone> World<S> {
    pub(crate) async fn new(store: S, mut dice: Dice) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let page_size = dice.one_of(&[512, 1024, 4096, 4096, 4096, 8192, 65536]);
        create(&dir.path().join("data.db"), page_size, dice.among(0..3));
        std::fs::create_dir(dir.path().join("spool")).unwrap();
        std::fs::create_dir(dir.path().join("passive")).unwrap();
        let paths = Paths {
            data: dir.path().join("passive/data.db"),
            replica: dir.path().join("passive/replica.db"),
            owner: None,
        };
        let local = Arc::new(Local::open(paths).unwrap());
        let fence = store.move_fence(Epoch::new(1), &node("active")).await.unwrap();
        let mut world = Self {
            store,
            dice,
            dir,
            page_size,
            fence,
            application: None,
            capture: None,
            local,
            follower: None,
            steps: 0,
            compared: 0,
            killed: 0,
        };
        world.start_application();
        world.start_capture().await;
        world.start_follower();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start_application(&mut self) {
        if self.application.is_none() {
            let seed = self.dice.next();
            self.application = Some(Application::start(&self.path("data.db"), seed));
        }
    }

    async fn start_capture(&mut self) {
        if self.capture.is_none() {
            let config = CaptureConfig {
                checkpoint_pages: self.dice.one_of(&[10, 100, 1000]),
                snapshot_interval: Duration::from_millis(self.dice.one_of(&[50, 500, 100_000])),
                ..CaptureConfig::new(self.path("data.db"), self.path("spool"))
            };
            let start = async || {
                let start = Capture::start(self.store.clone(), self.fence, config.clone());
                match start.await {
                    // The application may recover its WAL.
                    Err(error) if error.is_transient() => None,
                    started => Some(started.unwrap()),
                }
            };
            let what = "a capture to begin";
            self.capture = Some(wait::until_async(WITHIN, what, tokio::time::sleep, start).await);
        }
    }

    fn start_follower(&mut self) {
        if self.follower.is_none() {
            let config = FollowConfig::new(node("passive"));
            let local = Arc::clone(&self.local);
            self.follower = Some(Follower::start(self.store.clone(), local, config));
        }
    }

    /// Something happens.
    pub(crate) async fn step(&mut self) {
        self.steps += 1;
        match self.dice.among(0..20) {
            0..6 => self.let_it_run().await,
            6..9 => {
                self.kill();
                self.start_application();
            }
            9 => {
                if let Some(application) = self.application.take() {
                    application.stop().await;
                }
            }
            10 => self.start_application(),
            11..13 => {
                if let Some(capture) = self.capture.take() {
                    capture.abandon().await;
                }
            }
            13..15 => self.start_capture().await,
            15 => self.take_over().await,
            16 => self.look_at_the_replica().await,
            17 => self.compact().await,
            _ => self.compare().await,
        }
    }

    fn kill(&mut self) {
        if let Some(application) = self.application.take() {
            application.kill();
            self.killed += 1;
        }
    }

    async fn let_it_run(&mut self) {
        let statements = self.dice.among(1..200);
        if let Some(application) = &self.application {
            application.goes_on(statements).await;
        }
        let further = self.dice.among(1..10);
        if let (Some(capture), Some(_)) = (&self.capture, &self.application) {
            let mut progress = capture.progress();
            let from = progress.borrow().txid.get();
            let far = |p: &CaptureProgress| p.txid.get() >= from + further || p.ended.is_some();
            let reached = timeout(WITHIN, progress.wait_for(far)).await.is_ok();
            let (now, data) = (progress.borrow().clone(), self.path("data.db"));
            let wal = std::fs::metadata(path(&data, "-wal")).map_or(0, |wal| wal.len());
            let done = Application::done(&data);
            assert!(
                reached && now.ended.is_none(),
                "wanted {further} after {from}: {now:?}; {done} statements, a WAL of {wal} bytes"
            );
        }
    }

    /// The primary begins a new term.
    async fn take_over(&mut self) {
        if let Some(capture) = self.capture.take() {
            capture.abandon().await;
        }
        let epoch = Epoch::new(self.fence.epoch.get() + 1);
        self.fence = self.store.move_fence(epoch, &node("active")).await.unwrap();
    }

    /// Stopped anywhere, the replica is some state of the database.
    async fn look_at_the_replica(&mut self) {
        if let Some(follower) = self.follower.take() {
            follower.stop().await;
        }
        if self.local.replica_position().unwrap().is_some() {
            is_some_state(&self.path("passive/replica.db"), self.dir.path());
        }
        self.start_follower();
    }

    /// Merges and expires as if an hour had passed.
    async fn compact(&mut self) {
        let spool = self.path("spool");
        let config = CompactConfig {
            settle: Duration::ZERO,
            ..CompactConfig::new(spool, Duration::from_secs(self.dice.one_of(&[0, 1, 3600])))
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let later = now + Duration::from_secs(3600);
        let later = i64::try_from(later.as_millis()).unwrap();
        pass(&self.store, self.fence, &config, later).await.unwrap();
    }

    /// Stops everything; what is in the bucket and in the replica is what the application has
    /// left.
    async fn compare(&mut self) {
        if self.dice.once_in(2) {
            self.kill();
        } else if let Some(application) = self.application.take() {
            application.stop().await;
        }
        self.start_capture().await;
        let Some(mut capture) = self.capture.take() else { return };
        let tip = capture.flush(WITHIN).await.unwrap();
        let expected = checkpointed(&self.path("data.db"), self.dir.path());
        let replica = self.followed(tip).await;
        let page_size = usize::try_from(self.page_size).unwrap();
        assert_same(&replica, &expected, page_size);
        if self.dice.once_in(3) {
            assert_same(&self.anew().await, &expected, page_size);
        }
        self.compared += 1;
        self.start_application();
        self.start_capture().await;
        self.start_follower();
    }

    /// The replica once it has the transaction.
    async fn followed(&mut self, tip: Txid) -> Vec<u8> {
        self.start_follower();
        let Some(follower) = self.follower.take() else { return Vec::new() };
        let mut progress = follower.progress();
        let there = |p: &FollowProgress| p.position.is_some_and(|p| p.txid == tip);
        let reached = timeout(WITHIN, progress.wait_for(there)).await.is_ok();
        assert!(reached, "waited {WITHIN:?} for transaction {tip}: {:?}", progress.borrow());
        follower.stop().await;
        std::fs::read(self.path("passive/replica.db")).unwrap()
    }

    /// What a new node makes of the bucket.
    async fn anew(&self) -> Vec<u8> {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let (data, replica) = (dir.path().join("data.db"), dir.path().join("replica.db"));
        let paths = Paths { data, replica: replica.clone(), owner: None };
        let local = Arc::new(Local::open(paths).unwrap());
        catch_up(&self.store, &local, WITHIN, |_, _| {}).await.unwrap();
        std::fs::read(replica).unwrap()
    }

    pub(crate) async fn end(mut self) {
        self.compare().await;
        if let Some(capture) = self.capture.take() {
            capture.abandon().await;
        }
        if let Some(application) = self.application.take() {
            application.stop().await;
        }
        println!(
            "page size {}: {} steps, {} kills, {} comparisons, {} transactions, {} statements",
            self.page_size,
            self.steps,
            self.killed,
            self.compared,
            self.store.tip().await.unwrap(),
            Application::done(&self.path("data.db")),
        );
    }
}
