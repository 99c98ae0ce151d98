//! Which files are merged into which: Litestream's levels at Litestream's boundaries.
//!
//! Level 1 takes level 0, 2 takes 1, 3 takes 2. The slots of a level are multiples of its interval
//! since the Unix epoch. When one has passed, what was committed in it becomes one file, also when
//! nobody has looked for many slots; a file whose commit time lies in the present slot waits for
//! its end. So a level has one file per slot in which there were commits, and a restore can end
//! at every boundary.
//!
//! The first file of all, the database as it was when the bucket was new, stays as it is when it
//! is large: merged with a few pages more it would only be copied, level by level.

use std::time::Duration;

use ccm_types::Txid;

use super::is_full;
use crate::store::{Level, LtxInfo, LtxName};

/// When levels are made, and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The length of a slot of level 1, 2, 3, …; the last one is the highest level.
    pub intervals: Vec<Duration>,
    /// Bytes of input above which a file is not merged with the next one: bounds the disk space
    /// that a compaction takes.
    pub bytes_max: u64,
}

impl Default for Schedule {
    /// As Litestream: 30 s, 5 min, 1 h. Inputs of at most 2 GiB, or one larger file.
    fn default() -> Self {
        let intervals = [30, 300, 3600].map(Duration::from_secs).to_vec();
        Self { intervals, bytes_max: 2 << 30 }
    }
}

/// Bytes above which the first file of all is not merged.
const LARGE: u64 = 1 << 20;

/// Files of one level that become one of the next level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// The level of the result.
    pub level: Level,
    /// Oldest first; each begins at most one transaction after the one before has ended.
    pub inputs: Vec<LtxName>,
}

impl Compaction {
    /// The name of the result; `None` without inputs.
    #[must_use]
    pub fn output(&self) -> Option<LtxName> {
        let (first, last) = (self.inputs.first()?, self.inputs.last()?);
        Some(LtxName { level: self.level, min: first.min, max: last.max })
    }
}

/// The compactions that are due, in the order to make them: a later one may take the result of
/// an earlier one.
///
/// `now_ms` is the wall clock, milliseconds since the Unix epoch, by which commit times were taken.
/// A clock that went back delays nothing: the last file from before the boundary decides, and
/// what lies before it comes along.
#[must_use]
pub fn due(files: &[LtxInfo], now_ms: i64, schedule: &Schedule) -> Vec<Compaction> {
    let mut files = files.to_vec();
    let mut due = Vec::new();
    for (number, interval) in (1..Level::SNAPSHOT.get()).zip(&schedule.intervals) {
        let (Some(from), Some(level)) = (Level::new(number - 1), Level::new(number)) else {
            break;
        };
        let slots = Slots::new(*interval, now_ms);
        for inputs in runs(&files, from, level, slots, schedule.bytes_max) {
            let names = inputs.iter().map(|file| file.name).collect();
            let compaction = Compaction { level, inputs: names };
            if let (Some(name), Some(last)) = (compaction.output(), inputs.last()) {
                let size = inputs.iter().map(|file| file.size).sum();
                files.push(LtxInfo { name, size, ..last.clone() });
                due.push(compaction);
            }
        }
    }
    due
}

/// The slots of a level.
#[derive(Debug, Clone, Copy)]
struct Slots {
    millis: i64,
    present: i64,
}

impl Slots {
    fn new(interval: Duration, now_ms: i64) -> Self {
        let millis = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { millis, present: now_ms.div_euclid(millis) }
    }

    fn of(self, file: &LtxInfo) -> i64 {
        file.timestamp_ms.div_euclid(self.millis)
    }
}

/// What level `from` has beyond the end of level `to` and before the present slot, in parts of
/// one slot without a hole.
fn runs(
    files: &[LtxInfo],
    from: Level,
    to: Level,
    slots: Slots,
    bytes_max: u64,
) -> Vec<Vec<LtxInfo>> {
    let end = files.iter().filter(|f| f.name.level == to).map(|f| f.name.max).max();
    let end = end.unwrap_or(Txid::ZERO);
    let mut new: Vec<&LtxInfo> =
        files.iter().filter(|f| f.name.level == from && f.name.max > end).collect();
    // Of two that begin alike the wider one is first, and makes the other one superfluous.
    new.sort_by_key(|f| (f.name.min, std::cmp::Reverse(f.name.max)));
    let passed = new.iter().rposition(|f| slots.of(f) < slots.present).map_or(0, |last| last + 1);
    let mut runs: Vec<Vec<LtxInfo>> = Vec::new();
    let (mut at, mut slot, mut bytes) = (end, i64::MIN, 0_u64);
    for file in new.into_iter().take(passed) {
        if file.name.max <= at {
            continue;
        }
        if from == Level::L0 && is_full(file.name) && file.size > LARGE {
            at = file.name.max;
            continue;
        }
        bytes = bytes.saturating_add(file.size);
        let follows =
            runs.last().and_then(|run| run.last()).is_some_and(|last| last.name.max == at);
        let goes_on =
            follows && file.name.min <= at.next() && slots.of(file) <= slot && bytes <= bytes_max;
        match runs.last_mut() {
            Some(run) if goes_on => run.push(file.clone()),
            Some(_) | None => {
                runs.push(vec![file.clone()]);
                (slot, bytes) = (slots.of(file), file.size);
            }
        }
        at = file.name.max;
    }
    runs
}

#[cfg(test)]
mod tests;
