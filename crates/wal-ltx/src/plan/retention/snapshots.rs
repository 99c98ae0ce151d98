//! Two copies of the database instead of one for every snapshot of the history: the one with
//! which the history begins (in a new bucket that is the first file of all), and the newest one.
//! Increments lead from the first to any state.

use std::time::Duration;

use ccm_types::Txid;

use super::{Ages, Retention, base};
use crate::plan::{Compaction, is_full};
use crate::store::{Level, LtxInfo, LtxName};

/// Snapshots between the first and the newest that no restore needs.
///
/// One stays where increments do not lead on from the first one to it, and one every one and a
/// half histories: with that the history begins when the first one cannot be brought forward.
pub(super) fn superfluous(
    files: &[LtxInfo],
    ages: &Ages,
    base: Option<LtxName>,
    history: Duration,
) -> Vec<LtxName> {
    let mut snapshots: Vec<LtxName> =
        files.iter().map(|f| f.name).filter(|name| name.level == Level::SNAPSHOT).collect();
    snapshots.sort_unstable_by_key(|name| name.max);
    snapshots.pop();
    let first = base.or_else(|| first_of_all(files)).or_else(|| snapshots.first().copied());
    let Some(mut kept) = first else { return Vec::new() };
    let mut superfluous = Vec::new();
    for name in snapshots {
        if name.max <= kept.max {
            continue;
        }
        let near = ages.between(kept.max, name.max) < history.saturating_mul(3) / 2;
        if near && lead(files, kept.max, name.max, |_| true).1 >= name.max {
            superfluous.push(name);
        } else {
            kept = name;
        }
    }
    superfluous
}

/// The file of level 0 that a new bucket began with: a whole database as well.
fn first_of_all(files: &[LtxInfo]) -> Option<LtxName> {
    let names = files.iter().map(|f| f.name);
    names.filter(|name| name.level == Level::L0 && is_full(*name)).max_by_key(|name| name.max)
}

/// The increments with which a restore goes on after `from`, as far as `to`, and where they end.
fn lead(
    files: &[LtxInfo],
    from: Txid,
    to: Txid,
    usable: impl Fn(&LtxInfo) -> bool,
) -> (Vec<&LtxInfo>, Txid) {
    let mut increments: Vec<&LtxInfo> = files
        .iter()
        .filter(|f| f.name.level != Level::SNAPSHOT && f.name.max > from && usable(f))
        .collect();
    increments.sort_unstable_by_key(|f| f.name.min);
    let mut increments = increments.into_iter().peekable();
    let (mut at, mut way) = (from, Vec::new());
    while at < to {
        let mut furthest: Option<&LtxInfo> = None;
        while let Some(file) = increments.next_if(|f| f.name.min <= at.next()) {
            if furthest.is_none_or(|there| there.name.max < file.name.max) {
                furthest = Some(file);
            }
        }
        match furthest {
            Some(file) if file.name.max > at => {
                way.push(file);
                at = file.name.max;
            }
            Some(_) | None => break,
        }
    }
    (way, at)
}

/// The compaction that brings the beginning of the history forward: the snapshot with which it
/// begins and the increments that have left it become a newer snapshot.
///
/// `None` while that snapshot is no older than a history and a quarter, when nothing has left
/// the history since, and when it would take more than `bytes_max`. `now_ms` and `idle` are as for
/// [`super::expired`].
#[must_use]
pub fn forward(
    files: &[LtxInfo],
    now_ms: i64,
    idle: Duration,
    retention: &Retention,
    bytes_max: u64,
) -> Option<Compaction> {
    let ages = Ages::of(files, now_ms, (retention.step_max, idle));
    let base = base(files, &ages, retention.history).or_else(|| first_of_all(files))?;
    if !ages.is_older(base.max, retention.history.saturating_mul(5) / 4) {
        return None;
    }
    let past = |f: &LtxInfo| ages.is_older(f.name.max, retention.history);
    let (way, _) = lead(files, base.max, Txid::new(u64::MAX), past);
    let snapshot = files.iter().find(|f| f.name == base)?;
    let bytes = way.iter().map(|f| f.size).fold(snapshot.size, u64::saturating_add);
    if way.is_empty() || bytes > bytes_max {
        return None;
    }
    let inputs = std::iter::once(base).chain(way.into_iter().map(|f| f.name)).collect();
    Some(Compaction { level: Level::SNAPSHOT, inputs })
}
