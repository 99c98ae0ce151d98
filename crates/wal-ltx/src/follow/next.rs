//! What a replica has to do next: a decision over the files of the bucket, without I/O.

use ccm_types::{Position, Txid};

use crate::local::Replica;
use crate::plan::{PlanError, restore_plan};
use crate::store::{LtxInfo, LtxName};

/// What to do with the replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
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
pub(super) fn tip(files: &[LtxInfo]) -> Txid {
    files.iter().map(|f| f.name.max).max().unwrap_or_default()
}

/// Decides what brings `replica` closer to the end of the bucket.
pub(super) fn next(files: &[LtxInfo], replica: Replica) -> Next {
    let tip = tip(files);
    match replica {
        Replica::None => begin(files),
        Replica::At(record) if record.txid > tip => {
            Next::Stuck(Stuck::Ahead { at: record.position(), tip })
        }
        Replica::At(record) => match restore_plan(files, record.txid, None) {
            Ok(plan) if plan.is_empty() => Next::Done,
            Ok(plan) => Next::Apply(plan),
            Err(PlanError::NeedsSnapshot { .. }) => begin(files),
            Err(hole @ (PlanError::Gap { .. } | PlanError::Behind { .. })) => {
                Next::Stuck(Stuck::Hole(hole))
            }
        },
        Replica::Torn { from, to } => match restore_plan(files, from.txid, None) {
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
pub(super) fn batch(
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
pub(super) fn oldest_missing_ms(files: &[LtxInfo], at: Txid) -> Option<i64> {
    files.iter().filter(|f| f.name.max > at).map(|f| f.timestamp_ms).min()
}

#[cfg(test)]
mod tests {
    use ccm_types::Epoch;

    use super::*;
    use crate::local::PositionRecord;
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

    fn record(txid: u64) -> PositionRecord {
        let txid = Txid::new(txid);
        PositionRecord { epoch: Epoch::new(1), txid, page_size: 4096, pages: 1 }
    }

    #[test]
    fn every_replica_has_one_next_step() {
        let at = |txid| Replica::At(record(txid));
        let torn = |from, to| Replica::Torn { from: record(from), to: Txid::new(to) };
        let apply = |names: &[LtxName]| Next::Apply(names.to_vec());
        let gap = |n| Next::Stuck(Stuck::Hole(PlanError::Gap { missing: Txid::new(n) }));
        let ahead =
            |at, tip| Next::Stuck(Stuck::Ahead { at: record(at).position(), tip: Txid::new(tip) });
        let (s4, l5, l6, l7) = (name(9, 1, 4), name(0, 5, 5), name(0, 6, 6), name(0, 7, 7));
        let cases: &[(&[LtxName], Replica, Next)] = &[
            (&[], Replica::None, Next::Done),
            (&[s4, l5], Replica::None, Next::Rebuild(s4)),
            (&[l5], Replica::None, gap(1)),
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
