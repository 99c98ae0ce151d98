//! The passive half: a replica that follows the bucket.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use ccm_types::NodeId;
use ccm_wal_ltx::follow::{FollowConfig, Follower};
use ccm_wal_ltx::local::{Local, Paths};
use clap::Args;

use super::{Bucket, told_to_end};
use crate::{clock, table};

/// Follows the bucket.
#[derive(Debug, Clone, Args)]
pub(crate) struct Follow {
    #[command(flatten)]
    bucket: Bucket,
    /// A folder of its own.
    #[arg(long)]
    dir: PathBuf,
}

impl Follow {
    /// Prints `<txid> <nanoseconds>` each time the replica has come so far.
    pub(super) async fn run(&self) -> Result<()> {
        let store = self.bucket.open().await?;
        let paths = Paths {
            data: self.dir.join("data.db"),
            replica: self.dir.join("replica.db"),
            owner: None,
        };
        let local = Arc::new(tokio::task::spawn_blocking(|| Local::open(paths)).await??);
        let follower = Follower::start(store, local, FollowConfig::new(NodeId::new("b")?));
        let mut progress = follower.progress();
        let watching = async {
            let mut last = None;
            while progress.changed().await.is_ok() {
                let txid = progress.borrow_and_update().position.map(|at| at.txid.get());
                if txid != last
                    && let Some(txid) = txid
                {
                    table::line(&format!("{txid} {}", clock::now()));
                    std::io::stdout().flush().ok();
                }
                last = txid;
            }
        };
        tokio::select! {
            () = watching => {}
            told = told_to_end() => told?,
        }
        follower.stop().await;
        Ok(())
    }
}
