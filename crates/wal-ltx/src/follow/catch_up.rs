//! Bringing the replica to the end of the bucket once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ccm_types::{Position, Txid};
use tokio::time::{Instant, sleep, timeout_at};

use super::step::{self, Step};
use super::{FollowError, RETRY};
use crate::local::{DataFile, Local};
use crate::plan::{self, Stuck, position_at};
use crate::store::LtxStore;

/// Brings the replica to the end of the bucket as it is listed now, rebuilding it if need be.
///
/// After [`LtxStore::move_fence`] that end is definitive. A replica that has more than the bucket,
/// which nobody has written to since, stays as it is. The data file is left alone. `progress`
/// hears how many bytes of how many are here. Failures that may go away are retried until
/// `within` has passed; what has been applied by then stays.
///
/// # Errors
/// [`FollowError::NoData`] when the bucket is empty, [`FollowError::Stuck`] when it does not lead
/// to its end, [`FollowError::Deadline`], and any error that will not go away by itself.
pub async fn catch_up<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    within: Duration,
    progress: impl Fn(u64, u64) + Send + Sync,
) -> Result<Position, FollowError> {
    let deadline = Instant::now() + within;
    let mut problem = String::from("it was still being downloaded");
    loop {
        match timeout_at(deadline, attempt(store, local, &progress)).await {
            Ok(Err(error)) if error.is_transient() => problem = error.in_words(),
            Ok(ended) => return ended,
            Err(_) => return Err(FollowError::Deadline { within, problem }),
        }
        if timeout_at(deadline, sleep(RETRY)).await.is_err() {
            return Err(FollowError::Deadline { within, problem });
        }
    }
}

async fn attempt<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    progress: &(impl Fn(u64, u64) + Send + Sync),
) -> Result<Position, FollowError> {
    let files = store.list().await?;
    if let DataFile::Database { stamp: Some(stamp), .. } =
        step::blocking(local, Local::data).await?
    {
        local.note_shipped(position_at(&files, stamp.epoch).map(|p| p.txid));
    }
    // Bytes that earlier steps have brought here.
    let before = AtomicU64::new(0);
    let start = step::blocking(local, Local::replica_position).await?;
    let total = step::bytes_missing(&files, start.map_or(Txid::ZERO, |p| p.txid));
    progress(0, total);
    loop {
        let report = |done: u64, _| {
            progress((before.load(Ordering::Relaxed) + done).min(total), total);
        };
        let position = match step::prepare(store, local, &files, report).await? {
            Step::Done(Some(position)) => {
                step::blocking(local, Local::flush).await?;
                return Ok(position);
            }
            Step::Done(None) => return Err(FollowError::NoData),
            // What the replica has and the bucket lost is the newest data there is.
            Step::Stuck(Some(position), Stuck::Ahead { .. }) => {
                step::blocking(local, Local::flush).await?;
                return Ok(position);
            }
            Step::Stuck(_, stuck) => return Err(stuck.into()),
            work @ (Step::Apply(_) | Step::Rebuild(_) | Step::SetAside) => {
                step::commit(local, work).await?
            }
        };
        let left = position.map_or(total, |p| {
            if p.txid == plan::tip(&files) { 0 } else { step::bytes_missing(&files, p.txid) }
        });
        before.store(total.saturating_sub(left), Ordering::Relaxed);
        progress(total.saturating_sub(left), total);
    }
}
