//! The primary's half: capture and compaction under one fence, as the files lane of a node runs
//! them.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::compact::{CompactConfig, Compactor};
use ccm_wal_ltx::plan::{Retention, Schedule};
use ccm_wal_ltx::store::LtxStore as _;
use clap::Args;
use serde_json::json;

use super::{Bucket, told_to_end};
use crate::table;

/// Captures and compacts.
#[derive(Debug, Clone, Args)]
pub(crate) struct Replicate {
    #[command(flatten)]
    pub(crate) bucket: Bucket,
    /// The database.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// A folder for files on their way.
    #[arg(long)]
    pub(crate) spool: PathBuf,
    /// Levels at 5, 15 and 30 s, level 0 for 10 s, and a snapshot each so many seconds.
    #[arg(long)]
    pub(crate) snapshot: Option<u64>,
    /// With it, the length of the history in seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) history: u64,
}

impl Replicate {
    /// The arguments of the child.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            String::from("replicate"),
            String::from("--url"),
            self.bucket.url.clone(),
            String::from("--bucket"),
            self.bucket.bucket.clone(),
            String::from("--data"),
            self.data.display().to_string(),
            String::from("--spool"),
            self.spool.display().to_string(),
        ];
        if let Some(snapshot) = self.snapshot {
            arguments.extend([String::from("--snapshot"), snapshot.to_string()]);
            arguments.extend([String::from("--history"), self.history.to_string()]);
        }
        arguments
    }

    /// Runs until it is told to end; prints a line when it captures and one at the end.
    pub(super) async fn run(&self) -> Result<()> {
        let store = self.bucket.open().await?;
        let fence = store.move_fence(Epoch::new(1), &NodeId::new("a")?).await?;
        let capture = Capture::start(store.clone(), fence, self.capture()).await?;
        let compactor = Compactor::start(store, fence, self.compact());
        table::line("ready");
        std::io::stdout().flush()?;
        let mut progress = capture.progress();
        let mut unshipped_max = 0;
        let watching = async {
            while progress.changed().await.is_ok() {
                unshipped_max = unshipped_max.max(progress.borrow_and_update().unshipped_bytes);
            }
        };
        tokio::select! {
            () = watching => {}
            told = told_to_end() => told?,
        }
        let ended = capture.progress().borrow().ended.clone();
        compactor.stop().await;
        capture.abandon().await;
        let why = ended.map(|ended| ended.why);
        table::line(&json!({ "unshipped_max": unshipped_max, "ended": why }).to_string());
        Ok(())
    }

    fn capture(&self) -> CaptureConfig {
        let config = CaptureConfig::new(self.data.clone(), self.spool.clone());
        let default = config.snapshot_interval;
        let snapshot_interval = self.snapshot.map_or(default, Duration::from_secs);
        CaptureConfig { snapshot_interval, ..config }
    }

    fn compact(&self) -> CompactConfig {
        let history = Duration::from_secs(24 * 3600);
        if self.snapshot.is_none() {
            return CompactConfig::new(self.spool.clone(), history);
        }
        let history = Duration::from_secs(self.history);
        CompactConfig {
            schedule: Schedule {
                intervals: [5, 15, 30].map(Duration::from_secs).to_vec(),
                ..Schedule::default()
            },
            retention: Retention { level0: Duration::from_secs(10), ..Retention::new(history) },
            settle: Duration::from_secs(5),
            ..CompactConfig::new(self.spool.clone(), history)
        }
    }
}
