//! Which states of the database a bucket can bring back, and which one is meant.

use std::cmp::Reverse;
use std::collections::HashMap;

use ccm_types::Txid;
use jiff::Timestamp;

use super::{PlanError, restore_plan};
use crate::store::{LtxInfo, LtxName};

/// A state of the database that can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restorable {
    /// The last transaction in it.
    pub txid: Txid,
    /// When that one was committed, milliseconds since the Unix epoch, by the clock of the
    /// primary. Where only a snapshot ends with it: when the snapshot was made.
    pub timestamp_ms: i64,
}

/// The state that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The last transaction there is.
    Newest,
    /// The last transaction that was committed at this moment or before it, milliseconds since
    /// the Unix epoch.
    At(i64),
    /// This transaction and none after it.
    Txid(Txid),
}

/// Why the state that is wanted cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There are no files.
    #[error("the bucket is empty: there is nothing to restore")]
    Empty,
    /// The transaction is not in the bucket yet.
    #[error("there is no transaction {wanted}: the newest is {tip}, committed {}", time(*at))]
    Beyond {
        /// What is wanted.
        wanted: Txid,
        /// The last transaction there is.
        tip: Txid,
        /// Its time in milliseconds since the Unix epoch.
        at: i64,
    },
    /// The history that is kept begins later.
    #[error(
        "that is before the history that the bucket keeps: the oldest state is transaction {}, \
         committed {}", first.txid, time(first.timestamp_ms)
    )]
    Before {
        /// The oldest state.
        first: Restorable,
    },
    /// The transaction lies between two states that can be restored.
    #[error(
        "transaction {wanted} cannot be told apart any more from what was committed with it: \
         {before} and {after} can be restored"
    )]
    Within {
        /// What is wanted.
        wanted: Txid,
        /// The state before.
        before: Txid,
        /// The state after.
        after: Txid,
    },
    /// The files do not lead to the end of the bucket.
    #[error("the bucket is incomplete: {0}")]
    Hole(#[from] PlanError),
}

/// What has to be fetched to bring a database to a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlan {
    /// The state.
    pub state: Restorable,
    /// The files, in the order to apply them.
    pub files: Vec<LtxInfo>,
    /// A later transaction that fits what is wanted too, but that no files lead to.
    pub unreachable: Option<Txid>,
}

impl RestorePlan {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// A moment for people: RFC 3339 in UTC.
fn time(timestamp_ms: i64) -> String {
    Timestamp::from_millisecond(timestamp_ms)
        .map_or_else(|_| format!("{timestamp_ms} ms after 1970"), |time| time.to_string())
}

/// Every state that the files lead to from nothing, oldest first.
///
/// A file leads from any state at or after the transaction before its first one to its last one.
/// So a state can be reached when a file ends with it that begins no later than after the state
/// reached before.
#[must_use]
pub fn restorable(files: &[LtxInfo]) -> Vec<Restorable> {
    let mut ends: Vec<&LtxInfo> = files.iter().collect();
    ends.sort_by_key(|file| (file.name.max, file.name.min));
    let mut states: Vec<Restorable> = Vec::new();
    for file in ends {
        let reached = states.last().map_or(Txid::ZERO, |state| state.txid);
        match states.last_mut() {
            // The transaction is as old as the oldest file that ends with it says.
            Some(state) if state.txid == file.name.max => {
                state.timestamp_ms = state.timestamp_ms.min(file.timestamp_ms);
            }
            Some(_) | None if file.name.min <= reached.next() => {
                let timestamp_ms = file.timestamp_ms;
                states.push(Restorable { txid: file.name.max, timestamp_ms });
            }
            Some(_) | None => {}
        }
    }
    states
}

/// The state that `target` means.
///
/// Clocks of different primaries may disagree, so that times need not ascend with transactions:
/// the highest transaction whose own time fits is the one meant.
///
/// # Errors
/// [`TargetError`].
pub fn resolve(files: &[LtxInfo], target: Target) -> Result<Restorable, TargetError> {
    let states = restorable(files);
    let Some(newest) = files.iter().max_by_key(|f| (f.name.max, Reverse(f.timestamp_ms))) else {
        return Err(TargetError::Empty);
    };
    let tip = newest.name.max;
    let hole = || match restore_plan(files, Txid::ZERO, None) {
        Err(hole) => TargetError::Hole(hole),
        Ok(_) => TargetError::Empty,
    };
    let (Some(&first), Some(&last)) = (states.first(), states.last()) else { return Err(hole()) };
    match target {
        Target::Newest if last.txid == tip => Ok(last),
        Target::Newest => Err(hole()),
        Target::At(at) => {
            let found = states.iter().rfind(|state| state.timestamp_ms <= at).copied();
            found.ok_or(TargetError::Before { first })
        }
        Target::Txid(wanted) if wanted > tip => {
            Err(TargetError::Beyond { wanted, tip, at: newest.timestamp_ms })
        }
        Target::Txid(wanted) => match states.binary_search_by_key(&wanted, |state| state.txid) {
            Ok(found) => Ok(states[found]),
            Err(0) => Err(TargetError::Before { first }),
            Err(after) => match states.get(after) {
                Some(after) => Err(within(&states, wanted, after.txid)),
                None => Err(hole()),
            },
        },
    }
}

fn within(states: &[Restorable], wanted: Txid, after: Txid) -> TargetError {
    let before = states.iter().rfind(|state| state.txid < wanted);
    TargetError::Within { wanted, before: before.map_or(Txid::ZERO, |state| state.txid), after }
}

/// What has to be fetched to bring a database that is at `from` ([`Txid::ZERO`]: there is none)
/// to the state that `target` means.
///
/// # Errors
/// [`TargetError`]; [`TargetError::Hole`] also when `from` is beyond that state, or the files
/// that lead on from it are gone.
pub fn plan_to(files: &[LtxInfo], from: Txid, target: Target) -> Result<RestorePlan, TargetError> {
    let state = resolve(files, target)?;
    let names = restore_plan(files, from, Some(state.txid))?;
    let by_name: HashMap<LtxName, &LtxInfo> = files.iter().map(|f| (f.name, f)).collect();
    let planned = names.iter().filter_map(|name| by_name.get(name).copied().cloned()).collect();
    let fits = |file: &&LtxInfo| match target {
        Target::Newest | Target::Txid(_) => false,
        Target::At(at) => file.timestamp_ms <= at && file.name.max > state.txid,
    };
    let unreachable = files.iter().filter(fits).map(|file| file.name.max).max();
    Ok(RestorePlan { state, files: planned, unreachable })
}

#[cfg(test)]
pub(super) mod tests;
