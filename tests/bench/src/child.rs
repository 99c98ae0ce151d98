//! The parts of a measurement that are processes of their own, as they are in service.

mod follow;
mod promote;
mod replicate;
mod restore;
mod write;

use std::time::Duration;

use anyhow::Result;
use ccm_agent::NatsSettings;
use ccm_wal_ltx::store::{NatsStore, NatsStoreConfig};
use clap::{Args, Subcommand};

pub(crate) use replicate::Replicate;
pub(crate) use write::{Mark, Write, Written};

/// How long one answer of the server may take, as in a daemon.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A part of a measurement.
#[derive(Debug, Subcommand)]
pub(crate) enum Child {
    /// An application that commits.
    Write(Write),
    /// Captures and compacts as a primary does, until its standard input is closed.
    Replicate(Replicate),
    /// Follows as a passive node does, until its standard input is closed.
    Follow(follow::Follow),
    /// Restores the newest state.
    Restore(restore::Restore),
    /// Takes over from a primary that has stopped, as the ladder of a node does.
    Promote(promote::Promote),
}

/// Which bucket.
#[derive(Debug, Clone, Args)]
pub(crate) struct Bucket {
    /// Where NATS is.
    #[arg(long)]
    pub(crate) url: String,
    /// Its name.
    #[arg(long)]
    pub(crate) bucket: String,
}

impl Bucket {
    /// Opens it; it exists.
    pub(crate) async fn open(&self) -> Result<NatsStore> {
        let nats = NatsSettings { servers: vec![self.url.clone()], ..NatsSettings::default() };
        let client = ccm_agent::connect(&nats, "bench", ANSWER_WITHIN).await?;
        let config = NatsStoreConfig {
            bucket: self.bucket.clone(),
            replicas: 1,
            create: false,
            timeout: ANSWER_WITHIN,
            max_age: None,
        };
        Ok(NatsStore::open(client, config).await?)
    }
}

/// Runs it.
pub(crate) async fn run(child: Child) -> Result<()> {
    match child {
        Child::Write(write) => write.run(),
        Child::Replicate(replicate) => replicate.run().await,
        Child::Follow(follow) => follow.run().await,
        Child::Restore(restore) => restore.run().await,
        Child::Promote(promote) => promote.run().await,
    }
}

/// Waits until the parent closes our standard input.
async fn told_to_end() -> Result<()> {
    let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(wait).await??;
    Ok(())
}
