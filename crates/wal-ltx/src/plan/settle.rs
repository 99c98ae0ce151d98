//! What becomes of a data file from an earlier leadership while another node leads.

use ccm_types::{Epoch, NodeId, Txid};

use super::next::tip;
use crate::codec::LtxHeader;
use crate::local::Stamp;
use crate::store::{FenceRecord, Level, LtxInfo};

/// Where the committed content of a WAL ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalEnd {
    /// First salt.
    pub salt1: u32,
    /// Second salt.
    pub salt2: u32,
    /// Byte offset after the last committed frame.
    pub offset: u64,
}

/// What to do with a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// It may be the newest data there is: it is left alone and nothing is followed.
    Newest,
    /// All of it is in the bucket up to this transaction: it becomes the replica.
    Retire(Txid),
    /// All of it is in the bucket if [`ends_at`] says so for this file; else it is set aside.
    Ask(LtxInfo),
    /// It may hold what the bucket does not.
    SetAside,
}

/// Decides about a data file with this `stamp`.
///
/// `files` may have been listed before `fence` was read: a later leadership only adds to them.
#[must_use]
pub fn settle(
    stamp: Option<Stamp>,
    fence: Option<&FenceRecord>,
    node: &NodeId,
    files: &[LtxInfo],
) -> Settle {
    let epoch = stamp.map_or(Epoch::NONE, |stamp| stamp.epoch);
    if !is_outdated(fence, node, epoch, files) {
        return Settle::Newest;
    }
    let Some(stamp) = stamp else { return Settle::SetAside };
    if let Some(txid) = stamp.clean_txid {
        return if txid <= tip(files) { Settle::Retire(txid) } else { Settle::SetAside };
    }
    let written = |f: &&LtxInfo| f.name.level == Level::L0 && f.epoch == Some(stamp.epoch);
    match files.iter().filter(written).max_by_key(|f| f.name.max) {
        Some(last) => Settle::Ask(last.clone()),
        None => Settle::SetAside,
    }
}

/// Whether a later leadership has gone on without the data file of `epoch`.
///
/// A fence that this node has moved itself proves nothing: it may be about to serve the file. One
/// of the same epoch and another node is of a bucket that has forgotten the epoch of the file.
fn is_outdated(
    fence: Option<&FenceRecord>,
    node: &NodeId,
    epoch: Epoch,
    files: &[LtxInfo],
) -> bool {
    match fence {
        Some(fence) if fence.epoch < epoch => false,
        Some(fence) if fence.epoch == epoch => fence.node != *node,
        Some(fence) if fence.node == *node => files.iter().any(|f| f.epoch > Some(epoch)),
        Some(_) => true,
        None => false,
    }
}

/// Whether the committed content of a WAL ends exactly where the file with this header does.
#[must_use]
pub fn ends_at(end: WalEnd, shipped: &LtxHeader) -> bool {
    (shipped.wal_salt1, shipped.wal_salt2) == (end.salt1, end.salt2)
        && shipped.wal_offset + shipped.wal_size == end.offset
}
