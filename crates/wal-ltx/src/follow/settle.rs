//! Carrying out what [`plan::settle`] decides about a data file from an earlier leadership.

use std::sync::Arc;

use ccm_types::{Epoch, Position, Txid};

use super::step::blocking;
use super::{FollowConfig, FollowError, fetch};
use crate::local::{DataFile, Local};
use crate::plan::{self, Settle, position_at};
use crate::store::{LtxInfo, LtxStore};

/// Whether the replica may be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// There is no data file any more.
    Free,
    /// The data file may be the newest data there is.
    Newest,
}

/// Settles the data file: it is left alone, becomes the replica, or is set aside.
pub(super) async fn settle<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    config: &FollowConfig,
    files: &[LtxInfo],
) -> Result<Settled, FollowError> {
    let DataFile::Database { page_size, stamp, .. } = blocking(local, Local::data).await? else {
        return Ok(Settled::Free);
    };
    let fence = store.fence().await?;
    let clean = match plan::settle(stamp, fence.as_ref(), &config.node, files) {
        Settle::Newest => return Ok(Settled::Newest),
        Settle::Retire(txid) => Some(txid),
        Settle::Ask(last) => ends_at(store, local, page_size, last).await?,
        Settle::SetAside => None,
    };
    let epoch = stamp.map_or(Epoch::NONE, |stamp| stamp.epoch);
    if let Some(txid) = clean {
        let at = Position::new(epoch, txid);
        blocking(local, move |local| local.retire(at)).await?;
        tracing::info!(%at, "the data file is all in the bucket and becomes the replica");
        return Ok(Settled::Free);
    }
    let shipped = stamp.and_then(|s| position_at(files, s.epoch)).map(|p| p.txid);
    let max = config.aside_max;
    let set_aside = move |local: &Local| {
        local.check_aside(&local.paths().data, max)?;
        local.set_aside(shipped)
    };
    let to = blocking(local, set_aside).await?;
    if let Some(to) = to {
        tracing::warn!(
            path = %to.display(), %epoch,
            "the data file may hold writes that no other node has: it was set aside"
        );
    }
    Ok(Settled::Free)
}

/// The last transaction of `last` if the local WAL ends where it does.
async fn ends_at<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    page_size: u32,
    last: LtxInfo,
) -> Result<Option<Txid>, FollowError> {
    let Some(end) = blocking(local, move |local| local.data_wal_end(page_size)).await? else {
        return Ok(None);
    };
    let txid = last.name.max;
    let fetched = fetch::one(store, &local.spool(), last).await?;
    let header = blocking(local, move |_| fetched.header()).await?;
    let same = header.page_size == page_size && plan::ends_at(end, &header);
    Ok(same.then_some(txid))
}
