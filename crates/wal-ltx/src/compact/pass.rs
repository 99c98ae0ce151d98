//! One pass: what is due is made, what has expired goes.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use tokio_util::task::TaskTracker;

use super::{CompactConfig, CompactError, merge};
use crate::plan::{due, expired};
use crate::store::{Fence, LtxInfo, LtxName, LtxStore};

/// Deletions at a time: while the chunks of one are purged the next one is decided.
const DELETIONS: usize = 4;

/// What one pass has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Files in the bucket afterwards.
    pub files: usize,
    /// Files of levels above 0 made.
    pub compacted: u64,
    /// Files deleted.
    pub deleted: u64,
}

/// Makes what is due and deletes what has expired at `now_ms` (wall clock, milliseconds since the
/// Unix epoch), once.
///
/// # Errors
/// [`CompactError`]; what was done stays.
pub async fn pass<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    now_ms: i64,
) -> Result<Pass, CompactError> {
    let (done, result) = run(store, fence, config, now_ms, &TaskTracker::new()).await;
    result.map(|()| done)
}

/// [`pass`], and what was done before a failure. Files expire although some cannot be merged:
/// that a bucket is damaged must not make it grow.
pub(super) async fn run<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    now_ms: i64,
    tracker: &TaskTracker,
) -> (Pass, Result<(), CompactError>) {
    let mut done = Pass::default();
    let compacted = compact(store, fence, config, now_ms, (tracker, &mut done)).await;
    if compacted.as_ref().is_err_and(CompactError::is_fenced) {
        return (done, compacted);
    }
    let deleted = delete(store, fence, config, now_ms, &mut done).await;
    (done, compacted.and(deleted))
}

async fn compact<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    now_ms: i64,
    (tracker, done): (&TaskTracker, &mut Pass),
) -> Result<(), CompactError> {
    let listed = store.list().await?;
    let due = due(&listed, now_ms, &config.schedule);
    let mut files: BTreeMap<LtxName, LtxInfo> =
        listed.into_iter().map(|info| (info.name, info)).collect();
    for compaction in due {
        let Some(name) = compaction.output() else { continue };
        let inputs: Vec<LtxInfo> =
            compaction.inputs.iter().filter_map(|input| files.get(input).cloned()).collect();
        let size = merge::compact(store, fence, config, (name, &inputs), tracker).await?;
        done.compacted += 1;
        tracing::debug!(%name, inputs = inputs.len(), bytes = size, "compacted");
        if let Some(last) = inputs.last() {
            files.insert(name, LtxInfo { name, size, ..last.clone() });
        }
    }
    Ok(())
}

async fn delete<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    now_ms: i64,
    done: &mut Pass,
) -> Result<(), CompactError> {
    let files = store.list().await?;
    done.files = files.len();
    let expired = expired(&files, now_ms, &config.retention);
    let mut deletions =
        stream::iter(expired).map(|name| store.delete(fence, name)).buffered(DELETIONS);
    while let Some(deleted) = deletions.next().await {
        deleted?;
        done.deleted += 1;
        done.files -= 1;
    }
    Ok(())
}
