//! What is compared: ccm and Litestream beside an application, and the application alone.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::child::{Bucket, Mark, Replicate, Write, Written};
use crate::observer::Observer;
use crate::process::{Process, Usage};
use crate::servers::{Servers, wait_for};
use crate::{clock, database};

/// A replication has begun by then, a whole database included.
pub(crate) const BEGIN_WITHIN: Duration = Duration::from_secs(300);
/// SQLite's own default.
const AUTOCHECKPOINT: u32 = 1000;

/// One of the compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Nothing replicates.
    Alone,
    /// Nothing replicates, and the application does not checkpoint.
    Unchecked,
    /// Capture and compactor of ccm.
    Ccm,
    /// The same, and the application does not checkpoint.
    CcmUnchecked,
    /// Litestream with both intervals at 10 ms.
    Tuned,
    /// Litestream as it comes: both intervals at 1 s.
    Stock,
}

impl System {
    /// In tables and results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "unreplicated",
            Self::Unchecked => "unreplicated, no ckpt",
            Self::Ccm => "ccm",
            Self::CcmUnchecked => "ccm, no ckpt",
            Self::Tuned => "litestream 10ms",
            Self::Stock => "litestream 1s",
        }
    }

    /// What `PRAGMA wal_autocheckpoint` the application uses: Litestream's documentation asks for
    /// 0, ccm leaves applications as they are.
    fn autocheckpoint(self) -> u32 {
        match self {
            Self::Alone | Self::Ccm => AUTOCHECKPOINT,
            Self::Unchecked | Self::CcmUnchecked | Self::Tuned | Self::Stock => 0,
        }
    }

    /// Whether anything replicates.
    pub(crate) fn replicates(self) -> bool {
        match self {
            Self::Alone | Self::Unchecked => false,
            Self::Ccm | Self::CcmUnchecked | Self::Tuned | Self::Stock => true,
        }
    }
}

impl Load {
    /// Rows of 100 bytes are added, every commit is looked for, synchronous=normal.
    pub(crate) const fn small(rate: u32, time: Duration) -> Self {
        Self { time, rate, bytes: 100, update: 0, synchronous: "normal", mark: Duration::ZERO }
    }
}

/// `systems`, begun with another one in every round.
pub(crate) fn in_turn(systems: &[System], round: usize) -> Vec<System> {
    let mut systems = systems.to_vec();
    let by = round % systems.len().max(1);
    systems.rotate_left(by);
    systems
}

/// A schedule that shows in minutes what takes days: levels at 5, 15 and 30 s, level 0 for 10 s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scaled {
    /// Seconds between two snapshots.
    pub(crate) snapshot: u64,
    /// Seconds that history stays.
    pub(crate) history: u64,
}

/// A load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// For so long.
    pub(crate) time: Duration,
    /// Commits per second; 0 is without a pause.
    pub(crate) rate: u32,
    /// Bytes of a row.
    pub(crate) bytes: usize,
    /// Rows that are updated; 0 adds rows.
    pub(crate) update: u32,
    /// `PRAGMA synchronous`.
    pub(crate) synchronous: &'static str,
    /// Between two commits that are looked for in the bucket.
    pub(crate) mark: Duration,
}

/// An application's database, its bucket, and what replicates the one into the other.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) system: System,
    pub(crate) bucket: String,
    dir: TempDir,
    process: Option<Process>,
}

impl Case {
    /// An empty database and an empty bucket.
    pub(crate) async fn prepare(system: System, servers: &Servers) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ccm-bench-").tempdir()?;
        let bucket = format!("bench-{}", clock::now());
        servers.create(&bucket).await?;
        Ok(Self { system, bucket, dir, process: None })
    }

    /// The folder of the case.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The database.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data.db")
    }

    /// The bucket as a child is told.
    pub(crate) fn bucket(&self, servers: &Servers) -> Bucket {
        Bucket { url: servers.url(), bucket: self.bucket.clone() }
    }

    /// Starts to replicate the database; does not wait.
    pub(crate) fn replicate(&mut self, servers: &Servers, scaled: Option<Scaled>) -> Result<()> {
        self.process = match self.system {
            System::Alone | System::Unchecked => None,
            System::Ccm | System::CcmUnchecked => {
                let spool = self.path("spool");
                std::fs::create_dir_all(&spool)?;
                let bucket = self.bucket(servers);
                let snapshot = scaled.map(|scaled| scaled.snapshot);
                let history = scaled.map_or(0, |scaled| scaled.history);
                let child = Replicate { bucket, data: self.data(), spool, snapshot, history };
                Some(Process::own(&child.arguments())?)
            }
            System::Tuned => Some(self.litestream(servers, "10ms", scaled)?),
            System::Stock => Some(self.litestream(servers, "1s", scaled)?),
        };
        Ok(())
    }

    fn litestream(
        &self,
        servers: &Servers,
        interval: &str,
        scaled: Option<Scaled>,
    ) -> Result<Process> {
        let mut config = String::new();
        if let Some(Scaled { snapshot, history }) = scaled {
            config.push_str(&format!(
                "levels: [{{interval: 5s}}, {{interval: 15s}}, {{interval: 30s}}]\n\
                 snapshot: {{interval: {snapshot}s, retention: {history}s}}\n\
                 l0-retention: 10s\nl0-retention-check-interval: 5s\n",
            ));
        }
        // The bucket belongs into the URL, and both intervals have to be set.
        config.push_str(&format!(
            "dbs:\n  - path: {}\n    monitor-interval: {interval}\n    replica:\n      \
             type: nats\n      url: {}/{}\n      sync-interval: {interval}\n",
            self.data().display(),
            servers.url(),
            self.bucket,
        ));
        let path = self.path("litestream.yml");
        std::fs::write(&path, config)?;
        let mut command = Command::new(ccm_harness::litestream());
        command.args(["replicate", "-config"]).arg(&path);
        Process::other(&command, &self.path("litestream.log"))
    }

    /// Creates the database, starts to replicate it, and waits until it is in the bucket.
    pub(crate) async fn begin(&mut self, servers: &Servers, observer: &Observer) -> Result<()> {
        database::create(&self.data())?;
        self.replicate(servers, None)?;
        self.begun(observer).await
    }

    /// Waits until the bucket has a first transaction.
    pub(crate) async fn begun(&mut self, observer: &Observer) -> Result<()> {
        match self.system {
            System::Alone | System::Unchecked => return Ok(()),
            System::Ccm | System::CcmUnchecked => {
                self.process()?.first_line(BEGIN_WITHIN).await?;
            }
            System::Tuned | System::Stock => {}
        }
        wait_for(BEGIN_WITHIN, "a first transaction in the bucket", || {
            (observer.last().0 > 0 || !observer.level(9).is_empty()).then_some(())
        })
        .await
        .with_context(|| self.log())
    }

    /// What replicates.
    pub(crate) fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("nothing replicates")
    }

    /// What the replication has used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.process.as_ref().map(Process::usage).unwrap_or_default()
    }

    /// Starts an application; it is done when it has printed a line.
    pub(crate) fn writer(&self, load: Load) -> Result<Process> {
        let write = Write {
            data: self.data(),
            for_ms: u64::try_from(load.time.as_millis())?,
            rate: load.rate,
            bytes: load.bytes,
            update: load.update,
            synchronous: String::from(load.synchronous),
            autocheckpoint: self.system.autocheckpoint(),
            mark_us: u64::try_from(load.mark.as_micros())?,
            marks: self.path("marks"),
        };
        Process::own(&write.arguments())
    }

    /// Runs an application to its end and keeps it there, with the database open.
    pub(crate) async fn write(&self, load: Load) -> Result<(Process, Written)> {
        let mut writer = self.writer(load)?;
        let line = writer.first_line(load.time * 3 + BEGIN_WITHIN).await?;
        Ok((writer, serde_json::from_str(&line)?))
    }

    /// The commits of the application that were noted.
    pub(crate) fn marks(&self) -> Result<Vec<Mark>> {
        let text = std::fs::read_to_string(self.path("marks"))?;
        text.lines().map(|line| serde_json::from_str(line).context("a mark")).collect()
    }

    /// Stops the replication; the bucket stays.
    pub(crate) async fn pause(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop().await?;
        }
        Ok(())
    }

    /// Stops the replication and removes the bucket; what the replication had to say.
    pub(crate) async fn end(mut self, servers: &Servers) -> Result<Vec<String>> {
        let mut said = Vec::new();
        if let Some(process) = self.process.take() {
            said = process.stop().await?;
        }
        servers.delete(&self.bucket).await?;
        Ok(said)
    }

    /// The last lines of a log.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.path("litestream.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}
