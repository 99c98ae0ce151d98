//! Where the chain in the bucket ends.

use std::path::Path;
use std::time::Duration;

use ccm_types::Txid;

use super::CaptureConfig;
use super::chain::{SPOOLED, now_ms};
use super::error::{self, CaptureError, in_words};
use super::last::{self, Last};
use crate::store::{Level, LtxInfo, LtxStore, StoreError};

/// Size above which a file of the bucket is not read into memory.
const MEMORY_MAX: u64 = 4 << 20;

/// Where the chain in the bucket ends.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) tip: Txid,
    /// The commit time of that transaction.
    pub(super) timestamp_ms: i64,
    /// The level-0 file that ends there.
    pub(super) last: Option<Last>,
    /// The data file without a WAL is what the bucket holds.
    pub(super) at_base: bool,
    /// The newest snapshot: its last transaction and its age.
    pub(super) snapshot: Option<(Txid, Duration)>,
}

/// Reads the end of the bucket.
pub(super) async fn begin<S: LtxStore>(
    store: &S,
    config: &CaptureConfig,
) -> Result<Begin, CaptureError> {
    clear(&config.spool)?;
    let files = store.list().await?;
    let tip = files.iter().map(|f| f.name.max).max().unwrap_or(Txid::ZERO);
    let snapshots = files.iter().filter(|f| f.name.level == Level::SNAPSHOT);
    let snapshot = snapshots.max_by_key(|f| f.name.max).map(|newest| {
        let age = now_ms().saturating_sub(newest.timestamp_ms);
        (newest.name.max, Duration::from_millis(u64::try_from(age).unwrap_or(0)))
    });
    let last = files.iter().rfind(|f| f.name.max == tip && f.name.level == Level::L0);
    let last = match last {
        Some(info) => match read_last(store, info, &config.spool).await {
            Ok(last) => Some(last),
            // The chain does not go on from it: the whole database comes next.
            Err(
                error @ (CaptureError::Store(StoreError::Damaged { .. }) | CaptureError::Ltx(_)),
            ) => {
                let error = in_words(&error);
                tracing::warn!(
                    %error,
                    "the last file of the bucket is damaged: the whole database is shipped; check \
                     the disks of NATS"
                );
                None
            }
            Err(error) => return Err(error),
        },
        None => None,
    };
    let timestamps = files.iter().filter(|f| f.name.max == tip).map(|f| f.timestamp_ms);
    let timestamp_ms = timestamps.min().unwrap_or_else(now_ms);
    let base = config.base.filter(|base| *base == tip && tip > Txid::ZERO);
    Ok(Begin { tip, timestamp_ms, last, at_base: base.is_some(), snapshot })
}

async fn read_last<S: LtxStore>(
    store: &S,
    info: &LtxInfo,
    spool: &Path,
) -> Result<Last, CaptureError> {
    if info.size <= MEMORY_MAX {
        let content = store.get(info.name).await?;
        return Last::read(content.as_ref());
    }
    let path = spool.join(format!("{SPOOLED}last.ltx"));
    store.get_to_file(info.name, &path).await?;
    let read = tokio::task::block_in_place(|| last::from_file(&path));
    std::fs::remove_file(&path).map_err(error::file("remove", &path))?;
    read
}

/// Removes what an earlier capture has left in the spool.
fn clear(spool: &Path) -> Result<(), CaptureError> {
    for entry in std::fs::read_dir(spool).map_err(error::file("list", spool))? {
        let path = entry.map_err(error::file("list", spool))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(SPOOLED)) {
            std::fs::remove_file(&path).map_err(error::file("remove", &path))?;
        }
    }
    Ok(())
}
