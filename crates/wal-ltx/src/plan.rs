//! What to fetch, whose data is the newest, what becomes of a file: decisions over lists of LTX
//! files and what is known of the files of a node, without I/O.

mod audit;
mod behind;
mod compare;
mod history;
mod levels;
mod next;
mod placing;
mod resume;
mod retention;
mod settle;

use ccm_types::{Epoch, Position, Txid};

pub use audit::{Finding, Severity, audit};
pub use behind::{ends_before, last_of};
pub use compare::{DataSummary, Refusal, Verdict, compare};
pub use history::{Restorable, RestorePlan, Target, TargetError, plan_to, resolve, restorable};
pub use levels::{Compaction, Schedule, due};
pub use next::{Next, ReplicaAt, ReplicaState, Stuck, batch, next, oldest_missing_ms, tip};
pub use placing::{Placing, Present, placing};
pub use resume::{Resume, WalStart, resume};
pub use retention::{Retention, expired, forward};
pub use settle::{Settle, WalEnd, ends_at, settle};

use crate::store::{Level, LtxInfo, LtxName};

/// Why no list of files leads to the wanted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No file contains a transaction that is needed, and no snapshot goes beyond it.
    #[error("transaction {missing} is in no file of the bucket")]
    Gap {
        /// The first transaction that is not there.
        missing: Txid,
    },
    /// The increments after the starting point are gone; a snapshot holds what they held.
    #[error("transaction {missing} is only in a snapshot: rebuild from snapshot {snapshot}")]
    NeedsSnapshot {
        /// The first transaction that no increment contains.
        missing: Txid,
        /// The newest snapshot.
        snapshot: LtxName,
    },
    /// The target lies before the starting point.
    #[error("transaction {to} lies before {from}, where the database is already")]
    Behind {
        /// The starting point.
        from: Txid,
        /// The target.
        to: Txid,
    },
}

/// Whether a file contains the whole database, so that it can be the first one.
fn is_full(name: LtxName) -> bool {
    name.min == Txid::new(1)
}

/// Which of two candidates covers most: the highest last transaction, then the widest range,
/// then the highest level.
fn reach(name: &LtxName) -> (Txid, std::cmp::Reverse<Txid>, Level) {
    (name.max, std::cmp::Reverse(name.min), name.level)
}

/// The files that take a database from `from` to `to`, in the order to apply them.
///
/// `from` [`Txid::ZERO`] means that there is no database: the newest snapshot comes first, or a
/// chain that begins with transaction 1. `to` `None` means the newest transaction that any file
/// holds. Empty when there is nothing to do.
///
/// # Errors
/// [`PlanError::Gap`] names the first missing transaction; [`PlanError::NeedsSnapshot`] says that
/// starting again from [`Txid::ZERO`] gets further; [`PlanError::Behind`] when `to` < `from`.
pub fn restore_plan(
    files: &[LtxInfo],
    from: Txid,
    to: Option<Txid>,
) -> Result<Vec<LtxName>, PlanError> {
    if let Some(to) = to.filter(|&to| to < from) {
        return Err(PlanError::Behind { from, to });
    }
    let names = || files.iter().map(|f| f.name).filter(|n| to.is_none_or(|to| n.max <= to));
    let snapshot = || names().filter(|n| n.level == Level::SNAPSHOT).max_by_key(reach);
    let mut plan = Vec::new();
    let mut at = from;
    if let Some(base) = snapshot().filter(|_| from == Txid::ZERO) {
        plan.push(base);
        at = base.max;
    }
    let mut increments: Vec<LtxName> =
        names().filter(|n| n.level != Level::SNAPSHOT && n.max > at).collect();
    increments.sort_by_key(|n| n.min);
    let mut increments = increments.into_iter().peekable();
    // Of those that begin early enough, the one that goes furthest: each is looked at once.
    let mut best: Option<LtxName> = None;
    loop {
        while let Some(name) = increments.next_if(|n| n.min <= at.next()) {
            best = best.into_iter().chain([name]).max_by_key(reach);
        }
        let Some(next) = best.filter(|n| n.max > at) else { break };
        plan.push(next);
        at = next.max;
    }
    let newest = to.or_else(|| names().map(|n| n.max).max()).unwrap_or(at);
    if at >= newest {
        return Ok(plan);
    }
    let missing = at.next();
    match names().filter(|&n| is_full(n) && n.max > at).max_by_key(reach) {
        Some(snapshot) if from > Txid::ZERO => Err(PlanError::NeedsSnapshot { missing, snapshot }),
        Some(_) | None => Err(PlanError::Gap { missing }),
    }
}

/// The last transaction written by `epoch` or an earlier one, and the epoch that wrote it.
///
/// Files of a stock Litestream count as epoch 0. A file counts as written by the epoch that
/// stored it, so what a later epoch has compacted counts as that epoch's: the answer may be
/// lower than the truth once earlier files are gone, never higher.
#[must_use]
pub fn position_at(files: &[LtxInfo], epoch: Epoch) -> Option<Position> {
    files
        .iter()
        .map(|f| Position::new(f.epoch.unwrap_or(Epoch::NONE), f.name.max))
        .filter(|p| p.epoch <= epoch)
        .max_by_key(|p| (p.txid, std::cmp::Reverse(p.epoch)))
}

#[cfg(test)]
mod tests;
