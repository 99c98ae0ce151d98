//! One step towards the end of the bucket, in two halves: downloading, which may be given up at
//! any time, and writing, which is finished once begun.

use std::sync::Arc;
use std::time::Duration;

use ccm_types::{Position, Txid};
use tokio::time::interval;

use super::{FollowError, fetch};
use crate::apply::{self, Content, Fetched};
use crate::local::{Local, LocalError, Replica};
use crate::plan::{self, Next, Stuck, restore_plan};
use crate::store::{LtxInfo, LtxName, LtxStore};

/// Files that are applied at a time.
const BATCH_FILES: usize = 256;

/// Bytes that are applied at a time, but for one file that is larger.
const BATCH_BYTES: u64 = 32 << 20;

/// How often the progress of a download is told.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// What is to be written.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing: the replica has everything, or there is nothing to have.
    Done(Option<Position>),
    /// Nothing can be done.
    Stuck(Option<Position>, Stuck),
    /// These files, in this order.
    Apply(Vec<Fetched>),
    /// A new replica.
    Rebuild(Fetched),
    /// The replica goes out of the way.
    SetAside,
}

/// Runs blocking work on the files of this node.
pub(super) async fn blocking<T, E>(
    local: &Arc<Local>,
    work: impl FnOnce(&Local) -> Result<T, E> + Send + 'static,
) -> Result<T, FollowError>
where
    T: Send + 'static,
    E: Send + 'static,
    FollowError: From<E>,
{
    let local = Arc::clone(local);
    match tokio::task::spawn_blocking(move || work(&local)).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(FollowError::Interrupted),
    }
}

/// Decides the next step and downloads what it needs. `report` hears how many bytes of how many
/// a rebuild has.
pub(super) async fn prepare<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    files: &[LtxInfo],
    report: impl Fn(u64, u64) + Send,
) -> Result<Step, FollowError> {
    let look = |local: &Local| -> Result<Replica, LocalError> {
        let _turn = local.turn();
        local.finish_moves()?;
        local.replica()
    };
    let replica = blocking(local, look).await?;
    let position = match replica {
        Replica::At(record) => Some(record.position()),
        Replica::None | Replica::Torn { .. } => None,
    };
    Ok(match plan::next(files, replica.state()) {
        Next::Done => Step::Done(position),
        Next::Stuck(stuck) => Step::Stuck(position, stuck),
        Next::SetAside(_) => Step::SetAside,
        Next::Apply(names) => {
            let batch = plan::batch(files, &names, BATCH_FILES, BATCH_BYTES);
            Step::Apply(fetch::all(store, &local.spool(), batch).await?)
        }
        Next::Rebuild(base) => {
            tracing::info!(%base, ?replica, "rebuilding the replica");
            Step::Rebuild(fetch_base(store, local, files, base, report).await?)
        }
    })
}

/// Downloads the file a replica begins with.
async fn fetch_base<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    files: &[LtxInfo],
    base: LtxName,
    report: impl Fn(u64, u64) + Send,
) -> Result<Fetched, FollowError> {
    let Some(info) = files.iter().find(|f| f.name == base).cloned() else {
        return Err(FollowError::NoData);
    };
    let total = info.size;
    report(0, total);
    if !fetch::is_large(&info) {
        let fetched = fetch::one(store, &local.spool(), info).await?;
        report(total, total);
        return Ok(fetched);
    }
    let file = fetch::spooled(&local.spool());
    let mut tell = interval(TELL_EVERY);
    {
        let download = store.get_to_file(base, file.path());
        tokio::pin!(download);
        loop {
            tokio::select! {
                done = &mut download => break done?,
                _ = tell.tick() => {
                    let here = tokio::fs::metadata(file.path()).await.map_or(0, |m| m.len());
                    report(here.min(total), total);
                }
            }
        }
    }
    report(total, total);
    Ok(Fetched { info, content: Content::Spooled(file) })
}

/// Writes what was prepared; returns where the replica is, `None` while it is torn.
pub(super) async fn commit(
    local: &Arc<Local>,
    step: Step,
) -> Result<Option<Position>, FollowError> {
    match step {
        Step::Done(position) | Step::Stuck(position, _) => Ok(position),
        Step::Apply(batch) => {
            let apply = move |local: &Local| -> Result<Option<Position>, FollowError> {
                apply::apply(local, &batch)?;
                Ok(local.replica_position()?)
            };
            blocking(local, apply).await
        }
        Step::Rebuild(base) => {
            blocking(local, move |local| apply::rebuild(local, &base)).await.map(Some)
        }
        Step::SetAside => {
            if let Some(path) = blocking(local, Local::set_replica_aside).await? {
                tracing::warn!(
                    path = %path.display(),
                    "the replica holds what the bucket has lost and gone on without: it was set \
                     aside"
                );
            }
            Ok(None)
        }
    }
}

/// Bytes that are still to be downloaded for a replica at `at` ([`Txid::ZERO`]: for a new one).
pub(super) fn bytes_missing(files: &[LtxInfo], at: Txid) -> u64 {
    let plan = restore_plan(files, at, None).or_else(|_| restore_plan(files, Txid::ZERO, None));
    let plan: std::collections::BTreeSet<LtxName> = plan.unwrap_or_default().into_iter().collect();
    files.iter().filter(|f| plan.contains(&f.name)).map(|f| f.size).sum()
}
