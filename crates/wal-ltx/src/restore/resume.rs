//! What an earlier attempt has left, and whether this one goes on from it. Pure.

use ccm_types::Txid;
use serde::{Deserialize, Serialize};

use super::image::Shape;
use crate::plan::{RestorePlan, Target, TargetError, plan_to};
use crate::store::LtxInfo;

/// An object as it was when it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    name: String,
    size: u64,
    timestamp_ms: i64,
    epoch: Option<u64>,
}

impl Seen {
    pub(super) fn of(info: &LtxInfo) -> Self {
        Self {
            name: info.name.to_string(),
            size: info.size,
            timestamp_ms: info.timestamp_ms,
            epoch: info.epoch.map(ccm_types::Epoch::get),
        }
    }
}

/// How far a database is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The first file in it.
    pub(super) base: Seen,
    /// The last file in it.
    pub(super) last: Seen,
    /// The last transaction in it.
    pub(super) txid: Txid,
    /// Pages up to this transaction may be in it.
    pub(super) torn_to: Txid,
    /// Page size in bytes.
    pub(super) page_size: u32,
    /// Size in pages.
    pub(super) pages: u32,
    /// While this boot of the host lasts the database is as far as this says; `None` when it is
    /// on disk.
    pub(super) boot: Option<String>,
}

impl Record {
    pub(super) fn shape(&self) -> Shape {
        Shape { txid: self.txid, page_size: self.page_size, pages: self.pages }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Begin with the first of these files.
    Begin(RestorePlan),
    /// Go on from the record with these files; none when it is there already.
    GoOn(RestorePlan),
}

/// Decides between going on and beginning again.
///
/// An earlier attempt counts when the bucket is the same one: the first file is still there and
/// neither it nor the last one has changed. The files from there on may be other ones than those
/// that were planned first, as long as they go as far as pages may have been written.
///
/// # Errors
/// [`TargetError`] when the state cannot be restored at all.
pub(super) fn next(
    record: Option<&Record>,
    files: &[LtxInfo],
    target: Target,
) -> Result<Next, TargetError> {
    let begin = plan_to(files, Txid::ZERO, target)?;
    let Some(record) = record else { return Ok(Next::Begin(begin)) };
    let unchanged = |seen: &Seen, or_gone: bool| {
        let found = files.iter().map(Seen::of).find(|now| now.name == seen.name);
        found.map_or(or_gone, |now| now == *seen)
    };
    let same_bucket = unchanged(&record.base, false) && unchanged(&record.last, true);
    if !same_bucket || begin.state.txid < record.torn_to {
        return Ok(Next::Begin(begin));
    }
    Ok(plan_to(files, record.txid, target).map_or(Next::Begin(begin), Next::GoOn))
}

/// Splits a plan into what is fetched and applied at a time: large files alone, small ones
/// together, at most `files_max` and about `bytes_max`.
pub(super) fn portions(
    files: Vec<LtxInfo>,
    is_large: impl Fn(&LtxInfo) -> bool,
    files_max: usize,
    bytes_max: u64,
) -> Vec<Vec<LtxInfo>> {
    let mut portions: Vec<Vec<LtxInfo>> = Vec::new();
    let mut room = 0;
    for file in files {
        let large = is_large(&file);
        match portions.last_mut() {
            Some(portion) if !large && portion.len() < files_max && file.size <= room => {
                room -= file.size;
                portion.push(file);
            }
            Some(_) | None => {
                room = if large { 0 } else { bytes_max.saturating_sub(file.size) };
                portions.push(vec![file]);
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Level, LtxName};

    fn file(level: u8, min: u64, max: u64) -> LtxInfo {
        let level = Level::new(level).unwrap();
        let name = LtxName { level, min: Txid::new(min), max: Txid::new(max) };
        LtxInfo { name, size: 10, timestamp_ms: 1, epoch: None }
    }

    fn record(base: &LtxInfo, last: &LtxInfo, torn_to: u64) -> Record {
        let (base, last, txid) = (Seen::of(base), Seen::of(last), last.name.max);
        Record {
            base,
            last,
            txid,
            torn_to: Txid::new(torn_to),
            page_size: 512,
            pages: 1,
            boot: None,
        }
    }

    #[test]
    fn an_earlier_attempt_counts_in_the_same_bucket_only() {
        let (s, l5, l6, l7) = (file(9, 1, 4), file(0, 5, 5), file(0, 6, 6), file(0, 7, 7));
        let bucket = [s.clone(), l5.clone(), l6.clone(), l7.clone()];
        let merged = [s.clone(), file(1, 5, 7)];
        let newer = [file(9, 1, 6), l7.clone()];
        let other = [LtxInfo { size: 11, ..s.clone() }, l5.clone(), l6.clone(), l7.clone()];
        let changed = [s.clone(), LtxInfo { size: 11, ..l5.clone() }, l6.clone(), l7.clone()];
        let to = |n| Target::Txid(Txid::new(n));
        let cases: &[(&[LtxInfo], Option<Record>, Target, &str)] = &[
            (&bucket, None, Target::Newest, "begin 4"),
            (&bucket, Some(record(&s, &s, 4)), Target::Newest, "go on 3"),
            (&bucket, Some(record(&s, &l5, 5)), Target::Newest, "go on 2"),
            (&bucket, Some(record(&s, &l7, 7)), Target::Newest, "go on 0"),
            (&bucket, Some(record(&s, &l5, 7)), Target::Newest, "go on 2"),
            (&bucket, Some(record(&s, &l5, 7)), to(6), "begin 3"),
            (&bucket, Some(record(&s, &l6, 6)), to(5), "begin 2"),
            (&merged, Some(record(&s, &l5, 6)), Target::Newest, "go on 1"),
            (&newer, Some(record(&s, &l5, 5)), Target::Newest, "begin 2"),
            (&other, Some(record(&s, &l5, 5)), Target::Newest, "begin 4"),
            (&changed, Some(record(&s, &l5, 5)), Target::Newest, "begin 4"),
        ];
        for (files, record, target, expected) in cases {
            let decided = match next(record.as_ref(), files, *target).unwrap() {
                Next::Begin(plan) => format!("begin {}", plan.files.len()),
                Next::GoOn(plan) => format!("go on {}", plan.files.len()),
            };
            assert_eq!(decided, *expected, "{record:?} {target:?}");
        }
        assert_eq!(next(None, &[], Target::Newest), Err(TargetError::Empty));
    }

    #[test]
    fn large_files_are_alone_and_small_ones_together() {
        let sized = |size| LtxInfo { size, ..file(0, 1, 1) };
        let cases: &[(&[u64], usize, &[usize])] = &[
            (&[], 9, &[]),
            (&[500, 1, 2, 3], 9, &[1, 3]),
            (&[1, 500, 2, 600, 3], 9, &[1, 1, 1, 1, 1]),
            (&[1, 1, 1, 1, 1], 2, &[2, 2, 1]),
            (&[40, 40, 40, 40], 9, &[2, 2]),
            (&[99, 99], 9, &[1, 1]),
        ];
        for (sizes, files_max, expected) in cases {
            let files = sizes.iter().map(|&size| sized(size)).collect();
            let portions = portions(files, |file| file.size > 100, *files_max, 100);
            let lens: Vec<usize> = portions.iter().map(Vec::len).collect();
            assert_eq!(lens, *expected, "{sizes:?}");
        }
    }
}
