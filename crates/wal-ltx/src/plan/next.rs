//! What a replica has to do next.

use ccm_types::{Position, Txid};

use super::{PlanError, restore_plan};
use crate::store::{LtxInfo, LtxName};

/// What a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaState {
    /// Not there, or not to be relied on.
    None,
    /// A valid database at this position.
    At(Position),
    /// Between two positions: no database, but any files that lead from `from` to `to` or
    /// further make it one, because they contain whole pages.
    Torn {
        /// The position before.
        from: Position,
        /// Pages up to this transaction may be there.
        to: Txid,
    },
}

/// What to do with the replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it contains all there is.
    Done,
    /// Apply these, oldest first.
    Apply(Vec<LtxName>),
    /// Begin again with this whole database, then go on.
    Rebuild(LtxName),
    /// Nothing can be done now.
    Stuck(Stuck),
}

/// Why a replica cannot be brought to the end of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// The chain of files has a hole and no snapshot bridges it.
    #[error("the bucket is incomplete: {0}")]
    Hole(#[from] PlanError),
    /// The bucket ends before the replica does.
    #[error(
        "the replica is at {at} and the bucket ends at transaction {tip}: the bucket has lost \
         data, the replica is kept as it is"
    )]
    Ahead {
        /// Where the replica is.
        at: Position,
        /// The last transaction in the bucket.
        tip: Txid,
    },
}

/// The last transaction that any file contains.
#[must_use]
pub fn tip(files: &[LtxInfo]) -> Txid {
    files.iter().map(|f| f.name.max).max().unwrap_or_default()
}

/// Decides what brings `replica` closer to the end of the bucket.
#[must_use]
pub fn next(files: &[LtxInfo], replica: ReplicaState) -> Next {
    let tip = tip(files);
    match replica {
        ReplicaState::None => begin(files),
        ReplicaState::At(at) if at.txid > tip => Next::Stuck(Stuck::Ahead { at, tip }),
        ReplicaState::At(at) => match restore_plan(files, at.txid, None) {
            Ok(plan) if plan.is_empty() => Next::Done,
            Ok(plan) => Next::Apply(plan),
            Err(PlanError::NeedsSnapshot { .. }) => begin(files),
            Err(hole @ (PlanError::Gap { .. } | PlanError::Behind { .. })) => {
                Next::Stuck(Stuck::Hole(hole))
            }
        },
        ReplicaState::Torn { from, to } => match restore_plan(files, from.txid, None) {
            Ok(plan) if plan.last().is_some_and(|last| last.max >= to) => Next::Apply(plan),
            Ok(_) | Err(_) => begin(files),
        },
    }
}

fn begin(files: &[LtxInfo]) -> Next {
    match restore_plan(files, Txid::ZERO, None) {
        Ok(plan) => plan.first().map_or(Next::Done, |&base| Next::Rebuild(base)),
        Err(hole) => Next::Stuck(Stuck::Hole(hole)),
    }
}

/// The first files of a plan, at most `files_max` and about `bytes_max`, at least one.
#[must_use]
pub fn batch(
    files: &[LtxInfo],
    plan: &[LtxName],
    files_max: usize,
    bytes_max: u64,
) -> Vec<LtxInfo> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    for name in plan.iter().take(files_max) {
        let Some(info) = files.iter().find(|info| info.name == *name) else { break };
        bytes += info.size;
        if bytes > bytes_max && !batch.is_empty() {
            break;
        }
        batch.push(info.clone());
    }
    batch
}

/// The commit time of the oldest transaction in the bucket that a replica at `at` lacks.
///
/// A file that was compacted carries the time of its newest transaction, so among the files
/// that have not been applied the earliest time counts.
#[must_use]
pub fn oldest_missing_ms(files: &[LtxInfo], at: Txid) -> Option<i64> {
    files.iter().filter(|f| f.name.max > at).map(|f| f.timestamp_ms).min()
}

#[cfg(test)]
mod tests {
    use ccm_types::Epoch;

    use super::*;
    use crate::store::Level;

    fn name(level: u8, min: u64, max: u64) -> LtxName {
        LtxName { level: Level::new(level).unwrap(), min: Txid::new(min), max: Txid::new(max) }
    }

    fn files(names: &[LtxName]) -> Vec<LtxInfo> {
        let info = |&name: &LtxName| {
            let timestamp_ms = i64::try_from(name.max.get()).unwrap() * 1000;
            LtxInfo { name, size: 100, timestamp_ms, epoch: None }
        };
        names.iter().map(info).collect()
    }

    fn position(txid: u64) -> Position {
        Position::new(Epoch::new(1), Txid::new(txid))
    }

    #[test]
    fn every_replica_has_one_next_step() {
        let at = |txid| ReplicaState::At(position(txid));
        let torn = |from, to| ReplicaState::Torn { from: position(from), to: Txid::new(to) };
        let apply = |names: &[LtxName]| Next::Apply(names.to_vec());
        let gap = |n| Next::Stuck(Stuck::Hole(PlanError::Gap { missing: Txid::new(n) }));
        let ahead = |at, tip| Next::Stuck(Stuck::Ahead { at: position(at), tip: Txid::new(tip) });
        let (s4, l5, l6, l7) = (name(9, 1, 4), name(0, 5, 5), name(0, 6, 6), name(0, 7, 7));
        let cases: &[(&[LtxName], ReplicaState, Next)] = &[
            (&[], ReplicaState::None, Next::Done),
            (&[s4, l5], ReplicaState::None, Next::Rebuild(s4)),
            (&[l5], ReplicaState::None, gap(1)),
            (&[s4, l5, l6], at(4), apply(&[l5, l6])),
            (&[s4, l5, l6], at(6), Next::Done),
            (&[s4, l5, l7], at(4), gap(6)),
            (&[s4, l5], at(3), Next::Rebuild(s4)),
            (&[s4, l5], at(7), ahead(7, 5)),
            (&[], at(7), ahead(7, 0)),
            (&[s4, l5, l6], torn(4, 6), apply(&[l5, l6])),
            (&[s4, l5, l6, l7], torn(4, 6), apply(&[l5, l6, l7])),
            (&[s4, l5], torn(4, 6), Next::Rebuild(s4)),
            (&[name(9, 1, 6), l7], torn(4, 6), Next::Rebuild(name(9, 1, 6))),
            (&[l7], torn(4, 6), gap(1)),
            (&[], torn(4, 6), Next::Done),
        ];
        for (names, replica, expected) in cases {
            assert_eq!(next(&files(names), *replica), *expected, "{names:?} {replica:?}");
        }
    }

    #[test]
    fn a_batch_is_bounded_and_never_empty() {
        let plan = [name(0, 5, 5), name(0, 6, 6), name(0, 7, 7)];
        let files = files(&plan);
        for (files_max, bytes_max, expected) in [(9, 900, 3), (2, 900, 2), (9, 250, 2), (9, 1, 1)] {
            assert_eq!(batch(&files, &plan, files_max, bytes_max).len(), expected);
        }
    }

    #[test]
    fn the_oldest_missing_transaction_decides_the_lag() {
        let files = files(&[name(9, 1, 4), name(0, 5, 5), name(1, 5, 6), name(0, 6, 6)]);
        assert_eq!(oldest_missing_ms(&files, Txid::new(4)), Some(5000));
        assert_eq!(oldest_missing_ms(&files, Txid::new(5)), Some(6000));
        assert_eq!(oldest_missing_ms(&files, Txid::new(6)), None);
    }
}
