//! What becomes of a data file from an earlier leadership before anything is followed.

use std::sync::Arc;

use ccm_types::{Epoch, NodeId, Position, Txid};

use super::step::blocking;
use super::{FollowError, fetch};
use crate::local::{DataFile, Local, Stamp};
use crate::plan::position_at;
use crate::store::{FenceRecord, Level, LtxInfo, LtxStore};

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
    node: &NodeId,
    files: &[LtxInfo],
) -> Result<Settled, FollowError> {
    let DataFile::Database { page_size, stamp, .. } = blocking(local, Local::data).await? else {
        return Ok(Settled::Free);
    };
    let epoch = stamp.map_or(Epoch::NONE, |stamp| stamp.epoch);
    if !is_outdated(store.fence().await?.as_ref(), node, epoch, files) {
        return Ok(Settled::Newest);
    }
    let clean = match stamp {
        Some(stamp) => fully_shipped(store, local, page_size, stamp, files).await?,
        None => None,
    };
    if let Some(txid) = clean {
        let at = Position::new(epoch, txid);
        blocking(local, move |local| local.retire(at)).await?;
        tracing::info!(%at, "the data file is all in the bucket and becomes the replica");
        return Ok(Settled::Free);
    }
    let shipped = stamp.and_then(|s| position_at(files, s.epoch)).map(|p| p.txid);
    let to = blocking(local, move |local| local.set_aside(shipped)).await?;
    if let Some(to) = to {
        tracing::warn!(
            path = %to.display(), %epoch,
            "the data file may hold writes that no other node has: it was set aside"
        );
    }
    Ok(Settled::Free)
}

/// Whether a later leadership has gone on without the data file of `epoch`.
///
/// A fence that this node has moved itself proves nothing: it may be about to serve the file.
fn is_outdated(
    fence: Option<&FenceRecord>,
    node: &NodeId,
    epoch: Epoch,
    files: &[LtxInfo],
) -> bool {
    match fence {
        Some(fence) if fence.epoch <= epoch => false,
        Some(fence) if fence.node == *node => files.iter().any(|f| f.epoch > Some(epoch)),
        Some(_) => true,
        None => false,
    }
}

/// The transaction at which the bucket contains all of the data file; `None` without proof.
///
/// The proof is a stamp that says so, or that the last level-0 file of the stamped epoch ends
/// exactly where the committed content of the local WAL does.
async fn fully_shipped<S: LtxStore>(
    store: &S,
    local: &Arc<Local>,
    page_size: u32,
    stamp: Stamp,
    files: &[LtxInfo],
) -> Result<Option<Txid>, FollowError> {
    let tip = super::next::tip(files);
    if let Some(txid) = stamp.clean_txid {
        return Ok(Some(txid).filter(|&txid| txid <= tip));
    }
    let written = |f: &&LtxInfo| f.name.level == Level::L0 && f.epoch == Some(stamp.epoch);
    let Some(last) = files.iter().filter(written).max_by_key(|f| f.name.max).cloned() else {
        return Ok(None);
    };
    let Some(end) = blocking(local, move |local| local.data_wal_end(page_size)).await? else {
        return Ok(None);
    };
    let txid = last.name.max;
    let fetched = fetch::one(store, &local.spool(), last).await?;
    let header = blocking(local, move |_| fetched.header()).await?;
    let same = header.page_size == page_size
        && (header.wal_salt1, header.wal_salt2) == (end.salt1, end.salt2)
        && header.wal_offset + header.wal_size == end.offset;
    Ok(same.then_some(txid))
}
