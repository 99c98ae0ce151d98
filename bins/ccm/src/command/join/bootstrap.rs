//! Bringing the replica to the end of the cluster's data, with a progress bar.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ccm_types::Position;
use ccm_wal_ltx::follow::{FollowError, catch_up};
use ccm_wal_ltx::local::{Local, LocalError};
use ccm_wal_ltx::plan::{self, DataSummary, Verdict};
use ccm_wal_ltx::store::{LtxStore as _, NatsStore, NatsStoreConfig, StoreError};

use crate::cluster::Cluster;
use crate::exit::{Exit, Failure};
use crate::{print, progress};

/// How long NATS may take to answer one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest bootstrap: a terabyte at 12 MB/s.
const WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Between two drawings of the bar.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bootstrapped {
    /// The replica is here.
    To(Position),
    /// The data file of this node is the newest data there is.
    AlreadyNewest,
    /// The cluster has no data yet.
    NothingYet,
}

pub(super) async fn run(
    cluster: &Cluster,
    local: &Arc<Local>,
    say: impl Fn(String) -> std::io::Result<()>,
    watched: bool,
) -> Result<Bootstrapped, Failure> {
    let path = &cluster.settings.files.data;
    let data = look(local).await?;
    let Some(store) = open(cluster).await? else {
        say(nothing_yet(path, data.present))?;
        return Ok(Bootstrapped::NothingYet);
    };
    let files = store.list().await.map_err(store_failure)?;
    let verdict = plan::compare(data, &files);
    match verdict.map_err(|refusal| Failure::new(Exit::Usage, refusal))? {
        Verdict::Swap if !files.is_empty() => {}
        Verdict::Keep if !files.is_empty() => {
            say(already_newest(path))?;
            return Ok(Bootstrapped::AlreadyNewest);
        }
        Verdict::Swap | Verdict::Keep | Verdict::Create => {
            say(nothing_yet(path, data.present))?;
            return Ok(Bootstrapped::NothingYet);
        }
    }
    say(String::from("Bootstrapping data from cluster snapshot..."))?;
    let position = download(&store, local, watched && print::is_watched()).await?;
    say(bootstrapped(path))?;
    if data.present {
        say(set_aside(path))?;
    }
    Ok(Bootstrapped::To(position))
}

async fn look(local: &Arc<Local>) -> Result<DataSummary, Failure> {
    let local = Arc::clone(local);
    let data = tokio::task::spawn_blocking(move || local.summary()).await;
    data.map_err(anyhow::Error::from)?.map_err(local_failure)
}

/// The bucket; `None` when there is none yet.
async fn open(cluster: &Cluster) -> Result<Option<NatsStore>, Failure> {
    let bucket = cluster.settings.cluster.wal_bucket();
    if !cluster.has_stream(&format!("OBJ_{bucket}")).await? {
        return Ok(None);
    }
    let config = NatsStoreConfig {
        bucket,
        replicas: 1,
        create: false,
        timeout: ANSWER_WITHIN,
        max_age: None,
    };
    NatsStore::open(cluster.client.clone(), config).await.map(Some).map_err(store_failure)
}

async fn download(
    store: &NatsStore,
    local: &Arc<Local>,
    watched: bool,
) -> Result<Position, Failure> {
    let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let report = |done_bytes, total_bytes| {
        done.store(done_bytes, Ordering::Relaxed);
        total.store(total_bytes, Ordering::Relaxed);
    };
    let started = Instant::now();
    let work = catch_up(store, local, WITHIN, report);
    let mut work = std::pin::pin!(work);
    let mut draw = tokio::time::interval(DRAW_EVERY);
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            _ = draw.tick() => if watched {
                let (done, total) = (done.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
                print::transient(&progress::bar(done, total, started.elapsed()));
            }
        }
    };
    if watched {
        print::transient("");
    }
    ended.map_err(follow_failure)
}

/// What the operator can correct is a matter of usage; the rest may go away.
pub(super) fn local_failure(error: LocalError) -> Failure {
    let exit = if error.is_transient() { Exit::TryAgain } else { Exit::Usage };
    Failure::new(exit, error)
}

fn store_failure(error: StoreError) -> Failure {
    let exit = if error.is_transient() { Exit::TryAgain } else { Exit::Usage };
    Failure::new(exit, error)
}

fn follow_failure(error: FollowError) -> Failure {
    let again = error.is_transient() || matches!(error, FollowError::Deadline { .. });
    let exit = if again { Exit::TryAgain } else { Exit::Internal };
    Failure::new(exit, error)
}

fn bootstrapped(data: &Path) -> String {
    format!("✓ Data bootstrapped to {}", data.display())
}

fn already_newest(data: &Path) -> String {
    format!("✓ {} is the newest data of the cluster: nothing to bootstrap", data.display())
}

fn nothing_yet(data: &Path, present: bool) -> String {
    let with = if present { format!("{}", data.display()) } else { String::from("empty data") };
    format!("⚠ No snapshots available yet. This node will start with {with}.")
}

fn set_aside(data: &Path) -> String {
    format!(
        "⚠ {} exists and is older than the cluster's data: the daemon will set it aside, not \
         delete it",
        data.display()
    )
}
