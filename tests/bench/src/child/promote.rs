//! The rungs of a promotion that touch files, in the order of the ladder, each with its time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::plan::{self, Verdict};
use ccm_wal_ltx::store::LtxStore as _;
use clap::Args;
use serde_json::json;

use super::Bucket;
use crate::{clock, table};

/// One attempt to reach the end of the bucket.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(120);
/// What was written after the promotion is in the bucket by then.
const FLUSH_WITHIN: Duration = Duration::from_secs(60);

/// Takes over.
#[derive(Debug, Clone, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    bucket: Bucket,
    /// The folder of the node.
    #[arg(long)]
    dir: PathBuf,
    /// The epoch.
    #[arg(long)]
    epoch: u64,
}

impl Promote {
    /// Catches up, as a follower has by then; then promotes, and prints what each rung took.
    pub(super) async fn run(&self) -> Result<()> {
        let store = self.bucket.open().await?;
        let (data, replica) = (self.dir.join("data.db"), self.dir.join("replica.db"));
        let paths = Paths { data: data.clone(), replica, owner: None };
        let local = Arc::new(Local::open(paths)?);
        catch_up(&store, &local, CATCH_UP_WITHIN, |_, _| {}).await?;

        let epoch = Epoch::new(self.epoch);
        let won = clock::now();
        let fence = store.move_fence(epoch, &NodeId::new("b")?).await?;
        let fenced = clock::now();
        catch_up(&store, &local, CATCH_UP_WITHIN, |_, _| {}).await?;
        let caught_up = clock::now();
        let verdict = plan::compare(local.summary()?, &store.list().await?)?;
        ensure!(verdict == Verdict::Swap, "{verdict:?} where the replica was to be swapped in");
        let placed = local.place(verdict, epoch)?;
        let in_place = clock::now();
        local.open_for_writes(epoch)?;
        let config = CaptureConfig {
            base: placed.position.map(|position| position.txid),
            ..CaptureConfig::new(data, local.state_dir().to_path_buf())
        };
        let mut capture = Capture::start(store, fence, config).await?;
        let captured = clock::now();
        table::line(
            &json!({
                "fence": clock::between(won, fenced).as_nanos(),
                "catch_up": clock::between(fenced, caught_up).as_nanos(),
                "place": clock::between(caught_up, in_place).as_nanos(),
                "capture": clock::between(in_place, captured).as_nanos(),
                "total": clock::between(won, captured).as_nanos(),
            })
            .to_string(),
        );
        capture.flush(FLUSH_WITHIN).await?;
        Ok(())
    }
}
