//! `ccm restore` without its terminal.

use std::path::PathBuf;

use anyhow::Result;
use ccm_wal_ltx::restore::{RestoreOptions, restore};
use clap::Args;
use serde_json::json;

use super::Bucket;
use crate::table;

/// Restores the newest state.
#[derive(Debug, Clone, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    bucket: Bucket,
    /// The file to make.
    #[arg(long)]
    output: PathBuf,
    /// Have SQLite check it.
    #[arg(long)]
    check: bool,
}

impl Restore {
    /// Prints what was restored.
    pub(super) async fn run(&self) -> Result<()> {
        let store = self.bucket.open().await?;
        let options =
            RestoreOptions { check: self.check, ..RestoreOptions::new(self.output.clone()) };
        let restored = restore(&store, &options, |_| {}).await?;
        table::line(&json!({ "bytes": restored.bytes(), "files": restored.files }).to_string());
        Ok(())
    }
}
