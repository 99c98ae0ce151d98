//! Which files may go, as Litestream lets them go, and a little later.
//!
//! - Snapshots: those that are older than the history, but for the newest of them, with which a
//!   restore to the beginning of the history begins. The newest snapshot always stays.
//! - Snapshots between that one and the newest, when increments lead past them: two copies of the
//!   database are enough. [`forward`] makes the first one move with the history.
//! - Files of every level that end at or before the snapshot with which the history begins.
//! - Level 0: files that a file of a higher level contains, when that one is older than
//!   [`Retention::level0`], or at once when there are more than
//!   [`Retention::level0_files_max`] of them. The last one of an epoch stays as long as any file
//!   that ends with it: it is the proof by which a node that has lost its leadership finds that
//!   all of its data file is in the bucket, and is of the epoch that wrote it, which a file that a
//!   later epoch has merged is not.
//! - Levels above 0: files that a file of a higher level contains, beyond an eighth of the size of
//!   the newest snapshot, the oldest first. Where much is written a restore to a time long ago
//!   ends at a boundary of a higher level.
//! - The newest file of every level always stays. A capture, and a Litestream that takes over, go
//!   on from the newest of level 0, and Litestream finds in the others what is compacted already.
//!
//! # The clock
//!
//! Times are those of the primaries' wall clocks, which may jump. So the age of a state is not the
//! difference between two of them, but what lies between it and now step by step: from one state
//! of the bucket to the next one, and from the last one to now, each step counted as
//! [`Retention::step_max`] at most, and as nothing where the clock went back. A clock that jumps
//! ahead, by however much, makes everything older by one such step; a clock that was set back
//! makes nothing older. Time without commits counts in full only as long as a clock that does not
//! jump has seen it pass; after that it is one step too, so that a database that is idle now and
//! then keeps its history for longer.
//!
//! Whatever goes is contained in what stays, or ends before the history begins, and more files
//! never make a restore end earlier ([`super::restore_plan`] takes the file that leads furthest).
//! So everything that can be restored in the end can be restored all the time in between.

mod snapshots;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use ccm_types::{Epoch, Txid};

use crate::store::{Level, LtxInfo, LtxName};
pub use snapshots::forward;

/// How long files stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// How far back a restore may go, `wal.streamRetention`.
    pub history: Duration,
    /// The most by which the time between two commits, and since the last one, makes anything
    /// older: what a clock that jumps can take away from the history at once.
    pub step_max: Duration,
    /// How long a file of level 0 stays after it was compacted: the time within which a restore
    /// ends at any group of commits, and a passive node gets no more than it lacks.
    pub level0: Duration,
    /// Files of level 0 that may stay after they were compacted, however new they are: keeps
    /// the list short under load.
    pub level0_files_max: usize,
}

impl Retention {
    /// As Litestream's defaults: 5 minutes of level 0; at most 2000 files of it. A step is a
    /// 24th of the history, and never less than an hour: of what was merged only the boundaries of
    /// the slots of the highest level may be left.
    #[must_use]
    pub fn new(history: Duration) -> Self {
        let level0 = Duration::from_secs(300);
        let step_max = (history / 24).max(HIGHEST_SLOT);
        Self { history, step_max, level0, level0_files_max: 2000 }
    }
}

/// The longest slot of the default schedule.
const HIGHEST_SLOT: Duration = Duration::from_secs(3600);

/// The part of a snapshot's size that files above level 0 may have that others contain.
const CONTAINED_PART: u64 = 8;

/// The files that may go, in the order to delete them: those that end first, of the same end the
/// highest level first.
///
/// `now_ms` is the wall clock, milliseconds since the Unix epoch; `idle` is how long the present
/// end of the bucket has been seen by a clock that does not jump. Any part of the answer may be
/// deleted, in any order.
#[must_use]
pub fn expired(
    files: &[LtxInfo],
    now_ms: i64,
    idle: Duration,
    retention: &Retention,
) -> Vec<LtxName> {
    let ages = Ages::of(files, now_ms, (retention.step_max, idle));
    let base = base(files, &ages, retention.history);
    let newest = newest_of_levels(files);
    let free = |f: &&LtxInfo| newest.get(&f.name.level) != Some(&f.name);
    let outdated = |f: &LtxInfo| base.is_some_and(|base| is_behind(f.name, base));
    let mut unneeded = compacted_level0(files, now_ms, retention);
    unneeded.extend(snapshots::superfluous(files, &ages, base, retention.history));
    unneeded.extend(contained(files));
    unneeded.sort_unstable();
    let mut expired: Vec<LtxName> = files
        .iter()
        .filter(free)
        .filter(|f| outdated(f) || unneeded.binary_search(&f.name).is_ok())
        .map(|f| f.name)
        .collect();
    // Proofs after what they prove.
    expired.sort_by_key(|name| (name.max, Reverse(name.level), name.min));
    expired
}

fn before(now_ms: i64, age: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// How old the states of a bucket are, as far as steps of a clock that may jump prove it.
struct Ages(BTreeMap<Txid, u64>);

impl Ages {
    fn of(files: &[LtxInfo], now_ms: i64, (step_max, idle): (Duration, Duration)) -> Self {
        let mut times = BTreeMap::new();
        for file in files {
            // All files that end with a transaction have its commit time; of others the last one.
            let time = times.entry(file.name.max).or_insert(file.timestamp_ms);
            *time = (*time).max(file.timestamp_ms);
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (mut age, mut later, mut ages) = (0_u64, now_ms, BTreeMap::new());
        let mut step_max_ms = millis(step_max.max(idle));
        for (txid, time) in times.into_iter().rev() {
            let step = u64::try_from(later.saturating_sub(time)).unwrap_or(0);
            age = age.saturating_add(step.min(step_max_ms));
            ages.insert(txid, age);
            (later, step_max_ms) = (time, millis(step_max));
        }
        Self(ages)
    }

    /// How much older the first state is than the second.
    fn between(&self, first: Txid, second: Txid) -> Duration {
        let age = |txid| self.0.get(&txid).copied().unwrap_or(0);
        Duration::from_millis(age(first).saturating_sub(age(second)))
    }

    fn is_older(&self, txid: Txid, than: Duration) -> bool {
        self.0.get(&txid).is_some_and(|age| u128::from(*age) >= than.as_millis())
    }
}

/// The snapshot with which a restore to the beginning of the history begins.
fn base(files: &[LtxInfo], ages: &Ages, history: Duration) -> Option<LtxName> {
    let snapshots = files.iter().map(|f| f.name).filter(|name| name.level == Level::SNAPSHOT);
    snapshots.filter(|name| ages.is_older(name.max, history)).max_by_key(|name| name.max)
}

/// Whether a restore that begins with `base` never needs the file.
fn is_behind(name: LtxName, base: LtxName) -> bool {
    if name.level == Level::SNAPSHOT { name.max < base.max } else { name.max <= base.max }
}

fn newest_of_levels(files: &[LtxInfo]) -> BTreeMap<Level, LtxName> {
    let mut newest = BTreeMap::new();
    for name in files.iter().map(|f| f.name) {
        let there = newest.entry(name.level).or_insert(name);
        if (name.max, name.min) > (there.max, there.min) {
            *there = name;
        }
    }
    newest
}

/// The files of level 0 that are contained in others and have stayed long enough.
///
/// The age of what contains them counts, so that they go together: between two of them that
/// stay there is no hole.
fn compacted_level0(files: &[LtxInfo], now_ms: i64, retention: &Retention) -> Vec<LtxName> {
    let old = before(now_ms, retention.level0);
    let (cover, old_cover) = (Cover::of(files, i64::MAX), Cover::of(files, old));
    let last = last_of_epochs(files);
    let proof = |f: &LtxInfo| last.get(&f.epoch) == Some(&f.name.max);
    let mut covered: Vec<&LtxInfo> =
        files.iter().filter(|f| f.name.level == Level::L0 && cover.contains(f.name)).collect();
    covered.sort_by_key(|f| Reverse(f.name));
    let go = |(place, f): (usize, &&LtxInfo)| {
        let stayed = place >= retention.level0_files_max || old_cover.contains(f.name);
        (stayed && !proof(f)).then_some(f.name)
    };
    let mut names: Vec<LtxName> = covered.iter().enumerate().filter_map(go).collect();
    names.sort_unstable();
    names
}

/// Files above level 0 that a file of a higher level contains, as far as there are too many.
fn contained(files: &[LtxInfo]) -> Vec<LtxName> {
    let snapshots = files.iter().filter(|f| f.name.level == Level::SNAPSHOT);
    let Some(newest) = snapshots.max_by_key(|f| f.name.max) else { return Vec::new() };
    let mut contained: Vec<&LtxInfo> = Vec::new();
    for level in (1..Level::SNAPSHOT.get()).filter_map(Level::new) {
        let higher: Vec<LtxInfo> = files.iter().filter(|f| f.name.level > level).cloned().collect();
        let cover = Cover::of(&higher, i64::MAX);
        contained.extend(files.iter().filter(|f| f.name.level == level && cover.contains(f.name)));
    }
    contained.sort_unstable_by_key(|f| Reverse((f.name.max, f.name.level)));
    let mut room = Some(newest.size / CONTAINED_PART);
    let too_many = contained.into_iter().filter(|f| {
        room = room.and_then(|room| room.checked_sub(f.size));
        room.is_none()
    });
    too_many.map(|f| f.name).collect()
}

fn last_of_epochs(files: &[LtxInfo]) -> BTreeMap<Option<Epoch>, Txid> {
    let mut last = BTreeMap::new();
    for file in files.iter().filter(|f| f.name.level == Level::L0) {
        let txid = last.entry(file.epoch).or_insert(file.name.max);
        *txid = (*txid).max(file.name.max);
    }
    last
}

/// Ranges of transactions that increments above level 0 contain, each within one file.
struct Cover(Vec<(Txid, Txid)>);

impl Cover {
    /// Of files from before `until`.
    fn of(files: &[LtxInfo], until: i64) -> Self {
        let levels = files.iter().filter(|f| f.timestamp_ms < until).map(|f| f.name);
        let levels = levels.filter(|n| n.level != Level::L0 && n.level != Level::SNAPSHOT);
        let mut ranges: Vec<(Txid, Txid)> = levels.map(|n| (n.min, n.max)).collect();
        ranges.sort_unstable();
        // By their beginning, each with the furthest end of those that begin no later.
        let mut furthest = Txid::ZERO;
        for (_, max) in &mut ranges {
            furthest = furthest.max(*max);
            *max = furthest;
        }
        Self(ranges)
    }

    /// Whether one file contains all of `name`.
    fn contains(&self, name: LtxName) -> bool {
        let begun = self.0.partition_point(|(min, _)| *min <= name.min);
        begun.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, max)| *max >= name.max)
    }
}

#[cfg(test)]
mod tests;
