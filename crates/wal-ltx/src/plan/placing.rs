//! How the data that is to be served gets to its place.

use ccm_types::{Epoch, Position};

use super::Verdict;
use crate::local::Stamp;

/// What is at the path of the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Missing,
    /// A database; `None` when this node never served it.
    Database(Option<Stamp>),
}

/// How it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// It is there, to be stamped.
    Keep,
    /// An earlier call has done it all.
    Done,
    /// The replica takes the place.
    Swap {
        /// What was there is kept under another name.
        aside: bool,
    },
    /// An empty database.
    Create,
    /// There is nothing to keep.
    NothingToKeep,
    /// There is no replica to swap in.
    NoReplica,
    /// There is a database where an empty one was to be created.
    Occupied,
}

/// Decides how what [`super::compare`] has chosen gets to its place for a leadership of `epoch`.
///
/// `replica` is where the replica is, `None` without a usable one.
#[must_use]
pub fn placing(
    verdict: Verdict,
    present: Present,
    replica: Option<Position>,
    epoch: Epoch,
) -> Placing {
    let stamp = match present {
        Present::Missing => None,
        Present::Database(stamp) => stamp,
    };
    let done = stamp.is_some_and(|stamp| stamp.epoch == epoch);
    match (verdict, present) {
        (Verdict::Keep, Present::Missing) => Placing::NothingToKeep,
        (Verdict::Keep, Present::Database(_)) => Placing::Keep,
        (Verdict::Swap | Verdict::Create, Present::Database(_)) if done => Placing::Done,
        (Verdict::Swap, Present::Missing | Present::Database(_)) => match replica {
            Some(replica) => {
                let clean = stamp.and_then(|stamp| stamp.clean_txid);
                let contained = clean.is_some_and(|clean| clean <= replica.txid);
                Placing::Swap { aside: !contained }
            }
            None => Placing::NoReplica,
        },
        (Verdict::Create, Present::Missing) => Placing::Create,
        (Verdict::Create, Present::Database(_)) => Placing::Occupied,
    }
}
