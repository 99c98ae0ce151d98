//! Whether the bucket is ahead of a data file of its own epoch.

use std::sync::Arc;

use super::step::blocking;
use super::{FollowError, fetch};
use crate::local::{DataFile, Local};
use crate::plan;
use crate::store::{LtxInfo, LtxStore};

/// Whether the data file lacks what the bucket has from the epoch under which it was served.
///
/// `files` are the bucket as listed after the fence was moved. `false` without proof: a WAL that
/// is gone was checkpointed, or is of another life of the file.
///
/// # Errors
/// [`FollowError`] when the bucket or the files of this node cannot be read.
pub async fn is_behind<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    files: &[LtxInfo],
) -> Result<bool, FollowError> {
    let DataFile::Database { page_size, stamp: Some(stamp), .. } =
        blocking(local, Local::data).await?
    else {
        return Ok(false);
    };
    let Some(last) = plan::last_of(stamp, files).cloned() else { return Ok(false) };
    let Some(end) = blocking(local, move |local| local.data_wal_end(page_size)).await? else {
        return Ok(false);
    };
    let fetched = fetch::one(store, &local.spool(), last).await?;
    let header = blocking(local, move |_| fetched.header()).await?;
    Ok(header.page_size == page_size && plan::ends_before(end, &header))
}
