//! What a replica has to do next.

use ccm_types::{Position, Txid};

use super::{PlanError, restore_plan};
use crate::store::{Level, LtxInfo, LtxName};

/// Where a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaAt {
    /// The last transaction that it contains.
    pub position: Position,
    /// The commit time of that transaction as its file said, milliseconds since the Unix epoch.
    /// With the position it tells one transaction from another that a bucket which has lost data
    /// has given the same number. `None` when it is not known.
    pub timestamp_ms: Option<i64>,
}

impl ReplicaAt {
    /// Whether `file` ends with the replica's last transaction. A stock Litestream's files tell
    /// nothing.
    fn is_end_of(self, file: &LtxInfo) -> bool {
        match (self.timestamp_ms, file.epoch) {
            (_, None) => true,
            (Some(timestamp_ms), Some(_)) => timestamp_ms == file.timestamp_ms,
            // The epoch of whoever has last served it: its last transaction may be older.
            (None, Some(epoch)) => epoch <= self.position.epoch,
        }
    }

    /// Whether the bucket has gone on without the replica: it has another transaction under the
    /// same number, or, where none of its files ends there, an earlier one that was written later:
    /// in a later epoch, or at a later time in the same one. The clocks of two primaries differ.
    fn is_forked_from(self, files: &[LtxInfo]) -> bool {
        let txid = self.position.txid;
        // Without a time only the epoch tells, and only of who wrote the transaction itself.
        let tells = |file: &&LtxInfo| {
            self.timestamp_ms.is_some() || file.epoch.is_none() || file.name.level == Level::L0
        };
        let mut same = files.iter().filter(|file| file.name.max == txid).filter(tells).peekable();
        if same.peek().is_some() {
            return !same.any(|file| self.is_end_of(file));
        }
        // A later epoch also merges what earlier ones have written: level 0 tells who wrote it.
        let written = |file: &&LtxInfo| file.name.level == Level::L0 && file.name.max < txid;
        files.iter().filter(written).any(|file| {
            let later = self.timestamp_ms.is_some_and(|mine| file.timestamp_ms > mine);
            let (epoch, mine) = (file.epoch, Some(self.position.epoch));
            epoch > mine || (epoch == mine && later)
        })
    }
}

/// What a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaState {
    /// Not there, or not to be relied on.
    None,
    /// A valid database.
    At(ReplicaAt),
    /// Between two positions: no database, but any files that lead from `from` to `to` or
    /// further make it one, because they contain whole pages.
    Torn {
        /// Where it was before.
        from: ReplicaAt,
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
    /// The replica has what the bucket has gone on without: it is set aside, and another begun.
    SetAside(ReplicaAt),
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
        ReplicaState::At(at) if at.is_forked_from(files) => Next::SetAside(at),
        ReplicaState::At(ReplicaAt { position: at, .. }) if at.txid > tip => {
            Next::Stuck(Stuck::Ahead { at, tip })
        }
        ReplicaState::At(at) => match restore_plan(files, at.position.txid, None) {
            Ok(plan) if plan.is_empty() => Next::Done,
            Ok(plan) => Next::Apply(plan),
            Err(PlanError::NeedsSnapshot { .. }) => begin(files),
            Err(hole @ (PlanError::Gap { .. } | PlanError::Behind { .. })) => {
                Next::Stuck(Stuck::Hole(hole))
            }
        },
        ReplicaState::Torn { from, .. } if from.is_forked_from(files) => begin(files),
        ReplicaState::Torn { from, to } => match restore_plan(files, from.position.txid, None) {
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

    fn position(txid: u64) -> ReplicaAt {
        let position = Position::new(Epoch::new(1), Txid::new(txid));
        ReplicaAt { position, timestamp_ms: None }
    }

    #[test]
    fn every_replica_has_one_next_step() {
        let at = |txid| ReplicaState::At(position(txid));
        let torn = |from, to| ReplicaState::Torn { from: position(from), to: Txid::new(to) };
        let apply = |names: &[LtxName]| Next::Apply(names.to_vec());
        let gap = |n| Next::Stuck(Stuck::Hole(PlanError::Gap { missing: Txid::new(n) }));
        let ahead =
            |at, tip| Next::Stuck(Stuck::Ahead { at: position(at).position, tip: Txid::new(tip) });
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
    fn a_replica_of_another_history_is_set_aside() {
        let info = |level, min, max, epoch, timestamp_ms| LtxInfo {
            name: name(level, min, max),
            size: 100,
            timestamp_ms,
            epoch: Some(Epoch::new(epoch)),
        };
        let at = |epoch, txid, timestamp_ms| ReplicaAt {
            position: Position::new(Epoch::new(epoch), Txid::new(txid)),
            timestamp_ms,
        };
        let files = [
            info(0, 1, 4, 1, 400),
            info(0, 5, 5, 1, 500),
            info(0, 6, 6, 2, 600),
            info(9, 1, 6, 2, 600),
        ];
        let cases = [
            (at(1, 5, Some(500)), false),
            (at(1, 5, Some(501)), true),
            (at(1, 5, None), false),
            (at(2, 5, None), false),
            (at(1, 6, None), true),
            (at(2, 6, Some(600)), false),
            // Nothing ends there, and nothing before it.
            (at(1, 3, Some(1)), false),
            // The bucket ends earlier: in a later epoch, later, or not.
            (at(1, 9, Some(900)), true),
            (at(2, 9, Some(590)), true),
            (at(2, 9, Some(900)), false),
            (at(2, 9, None), false),
        ];
        let merged = [info(1, 1, 4, 3, 400), info(1, 5, 8, 3, 800)];
        assert!(!at(1, 6, Some(600)).is_forked_from(&merged), "merged by a later epoch");
        assert!(!at(1, 8, None).is_forked_from(&merged), "the same, ending with it");
        for (replica, forked) in cases {
            assert_eq!(replica.is_forked_from(&files), forked, "{replica:?}");
            let aside = next(&files, ReplicaState::At(replica)) == Next::SetAside(replica);
            assert_eq!(aside, forked, "{replica:?}");
        }
        assert!(!at(1, 9, Some(900)).is_forked_from(&[]), "an empty bucket has not gone on");
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
