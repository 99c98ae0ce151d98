//! Whose data is the newest: the data file of this node or the bucket.

use ccm_types::{Epoch, Txid};

use crate::store::LtxInfo;

/// What is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The data file that is there.
    Keep,
    /// What the bucket holds: the replica takes the place of the data file.
    Swap,
    /// Nothing exists anywhere: an empty database.
    Create,
}

/// What the comparison has to know of the files of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSummary {
    /// Whether there is a database.
    pub present: bool,
    /// The epoch under which this node served it last; `None` when it never did.
    pub stamp: Option<Epoch>,
    /// The epoch of the replica's last transaction; `None` without a usable replica.
    pub replica: Option<Epoch>,
    /// The epoch of the last transaction that a replica had before it was torn: it is between two
    /// positions, and only files of the bucket make it whole.
    pub torn: Option<Epoch>,
}

/// Why nobody but the operator can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither the bucket nor the data file was ever part of a cluster of ccm.
    #[error(
        "the bucket holds a stock Litestream's files up to transaction {tip} and the data file \
         was never served by this cluster: which one is newer cannot be known. To go on from the \
         bucket move the data file away, to go on from the data file empty the bucket"
    )]
    Unrelated {
        /// The last transaction in the bucket.
        tip: Txid,
    },
    /// The bucket has lost everything while a replica was being written to.
    #[error(
        "the bucket is empty, and the replica of this node, of epoch {epoch}, was being written to \
         when its daemon or host ended: only the bucket could have made it whole. A node that has \
         all the data takes over by itself. When there is none, restore a backup, or remove the \
         replica to begin with an empty database"
    )]
    TornAlone {
        /// The epoch of the last transaction that the replica has as a whole.
        epoch: Epoch,
    },
}

/// Decides whether the data file or the bucket is the newest data there is.
///
/// `files` must have been listed after the fence has moved to the epoch of the caller, so that
/// nothing can be missing. A data file that was served under an epoch at least as high as that of
/// any object is never older than the bucket: every later leadership would have left an object
/// or nothing at all. An unstamped file is trusted only while the bucket is empty. A bucket that is
/// empty although there is a replica has lost everything: the replica is what it had.
///
/// # Errors
/// [`Refusal::Unrelated`] when an unstamped data file meets a bucket without epochs;
/// [`Refusal::TornAlone`] when the bucket is empty and a torn replica had newer data than the file.
pub fn compare(data: DataSummary, files: &[LtxInfo]) -> Result<Verdict, Refusal> {
    let Some(tip) = files.iter().map(|f| f.name.max).max() else {
        let own = data.stamp.filter(|_| data.present);
        if let Some(epoch) = data.torn
            && own < Some(epoch)
        {
            return Err(Refusal::TornAlone { epoch });
        }
        return Ok(match (data.present, data.replica) {
            (true, replica) if data.stamp >= replica => Verdict::Keep,
            (true | false, Some(_)) => Verdict::Swap,
            (true, None) => Verdict::Keep,
            (false, None) => Verdict::Create,
        });
    };
    if !data.present {
        return Ok(Verdict::Swap);
    }
    let newest = files.iter().filter_map(|f| f.epoch).max();
    match (data.stamp, newest) {
        (Some(stamp), newest) if newest.is_none_or(|newest| stamp >= newest) => Ok(Verdict::Keep),
        (Some(_) | None, Some(_)) => Ok(Verdict::Swap),
        (Some(_) | None, None) => Err(Refusal::Unrelated { tip }),
    }
}
