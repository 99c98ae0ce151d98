//! One pass: what is due is made, what has expired goes.

use std::collections::BTreeMap;
use std::time::Duration;

use ccm_types::{BootClock, Monotonic};
use futures_util::{StreamExt as _, stream};
use tokio_util::task::TaskTracker;

use super::{CompactConfig, CompactError, merge};
use crate::plan::{Compaction, due, expired, forward};
use crate::store::{Fence, Level, LtxInfo, LtxName, LtxStore};

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

/// When files were seen in the bucket first, by a clock that does not jump.
#[derive(Debug, Default)]
pub(super) struct Seen {
    first: BTreeMap<LtxName, Monotonic>,
}

impl Seen {
    /// The files that may be relied on when others go.
    ///
    /// A server that loses power may lose what it has stored in the last minutes, but not its
    /// deletions. So a file that was made late, of what has been safe for long, does not count
    /// until it is safe itself. One of what is just as young does: it would be lost together
    /// with what it contains.
    fn settled(
        &mut self,
        files: &[LtxInfo],
        (now, now_ms): (Monotonic, i64),
        settle: Duration,
    ) -> Vec<LtxInfo> {
        let before = std::mem::take(&mut self.first);
        let first = |name: &LtxName| before.get(name).map_or(now, |seen| *seen);
        self.first = files.iter().map(|f| (f.name, first(&f.name))).collect();
        let young_ms = i64::try_from(settle.as_millis()).unwrap_or(i64::MAX);
        let for_long = |f: &LtxInfo| {
            f.name.level == Level::L0
                || now.since(first(&f.name)) >= settle
                || now_ms.saturating_sub(f.timestamp_ms) < young_ms
        };
        files.iter().filter(|f| for_long(f)).cloned().collect()
    }
}

impl Seen {
    /// How long the present end of the bucket has been seen.
    fn idle(&self, now: Monotonic) -> Duration {
        let end = self.first.keys().map(|name| name.max).max();
        let first = self.first.iter().filter(|(name, _)| Some(name.max) == end);
        first.map(|(_, seen)| now.since(*seen)).max().unwrap_or_default()
    }
}

/// Makes what is due and deletes what has expired at `now_ms` (wall clock, milliseconds since the
/// Unix epoch), once. It has seen no file before, so only a [`CompactConfig::settle`] of zero lets
/// anything old go.
///
/// # Errors
/// [`CompactError`]; what was done stays.
pub async fn pass<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    now_ms: i64,
) -> Result<Pass, CompactError> {
    let (tracker, mut seen) = (TaskTracker::new(), Seen::default());
    let (done, result) = run(store, fence, config, now_ms, (&tracker, &mut seen)).await;
    result.map(|()| done)
}

/// [`pass`], and what was done before a failure. Files expire although some cannot be merged:
/// that a bucket is damaged must not make it grow.
pub(super) async fn run<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    now_ms: i64,
    (tracker, seen): (&TaskTracker, &mut Seen),
) -> (Pass, Result<(), CompactError>) {
    let mut done = Pass::default();
    let compacted = compact(store, fence, config, now_ms, (tracker, &mut done)).await;
    if compacted.as_ref().is_err_and(CompactError::is_fenced) {
        return (done, compacted);
    }
    let deleted = delete(store, fence, config, now_ms, (seen, &mut done)).await;
    let forward = match &deleted {
        Ok(Some(snapshot)) => make(store, fence, config, snapshot, (tracker, &mut done)).await,
        Ok(None) | Err(_) => Ok(()),
    };
    (done, compacted.and(deleted.map(|_| ())).and(forward))
}

/// Brings the beginning of the history forward.
async fn make<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    snapshot: &(LtxName, Vec<LtxInfo>),
    (tracker, done): (&TaskTracker, &mut Pass),
) -> Result<(), CompactError> {
    let (name, inputs) = snapshot;
    let bytes = merge::compact(store, fence, config, (*name, inputs), tracker).await?;
    (done.compacted, done.files) = (done.compacted + 1, done.files + 1);
    tracing::debug!(%name, inputs = inputs.len(), bytes, "the history begins later");
    Ok(())
}

/// The files of a compaction, and their infos.
fn inputs(compaction: &Compaction, files: &[LtxInfo]) -> Option<(LtxName, Vec<LtxInfo>)> {
    let info = |name: &LtxName| files.iter().find(|f| f.name == *name).cloned();
    Some((compaction.output()?, compaction.inputs.iter().filter_map(info).collect()))
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

/// Deletes what has expired; what brings the beginning of the history forward.
async fn delete<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    now_ms: i64,
    (seen, done): (&mut Seen, &mut Pass),
) -> Result<Option<(LtxName, Vec<LtxInfo>)>, CompactError> {
    let files = store.list().await?;
    done.files = files.len();
    let now = BootClock.now();
    let settled = seen.settled(&files, (now, now_ms), config.settle);
    let (idle, retention) = (seen.idle(now), &config.retention);
    let expired = expired(&settled, now_ms, idle, retention);
    let staying: Vec<LtxInfo> =
        settled.into_iter().filter(|f| !expired.contains(&f.name)).collect();
    let forward = forward(&staying, now_ms, idle, retention, config.schedule.bytes_max);
    let forward = forward.and_then(|compaction| inputs(&compaction, &staying));
    let mut deletions =
        stream::iter(expired).map(|name| store.delete(fence, name)).buffered(DELETIONS);
    while let Some(deleted) = deletions.next().await {
        deleted?;
        done.deleted += 1;
        done.files -= 1;
    }
    Ok(forward)
}

#[cfg(test)]
mod tests {
    use ccm_types::Txid;

    use super::*;

    fn file(level: u8, txid: u64, timestamp_ms: i64) -> LtxInfo {
        let (min, max) = (Txid::new(txid), Txid::new(txid));
        let name = LtxName { level: Level::new(level).unwrap(), min, max };
        LtxInfo { name, size: 1, timestamp_ms, epoch: None }
    }

    #[test]
    fn what_was_made_late_does_not_count_at_once() {
        let settle = Duration::from_millis(100);
        let files = [file(0, 1, 0), file(1, 1, 0), file(1, 2, 950), file(9, 1, 0)];
        let mut seen = Seen::default();
        let at = |ms: i64| (Monotonic::from_millis(u64::try_from(ms).unwrap()), ms);
        let mut count = |now_ms, files: &[LtxInfo]| {
            let settled = seen.settled(files, at(now_ms), settle);
            settled.iter().map(|f| (f.name.level.get(), f.name.max.get())).collect::<Vec<_>>()
        };
        let all = [(0, 1), (1, 1), (1, 2), (9, 1)];
        assert_eq!(count(1000, &files), [(0, 1), (1, 2)]);
        assert_eq!(count(1099, &files), [(0, 1)], "no longer young, and not seen for long");
        assert_eq!(count(1100, &files), all);
        // Made again after it was lost.
        assert_eq!(count(1200, &files[..1]), [(0, 1)]);
        assert_eq!(count(1300, &files), [(0, 1)]);
        assert_eq!(Seen::default().settled(&files, at(5), Duration::ZERO).len(), 4);
    }
}
