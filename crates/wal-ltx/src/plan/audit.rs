//! Whether the files of a bucket fit together, by their names and times alone.

use std::collections::BTreeSet;

use ccm_types::Txid;

use super::{Target, resolve, restorable, restore_plan};
use crate::store::{Level, LtxInfo, LtxName};

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know: the newest state can be restored.
    Note,
    /// The bucket is not what it should be.
    Problem,
}

/// Something found in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file, when it is about one.
    pub name: Option<LtxName>,
    /// In words.
    pub what: String,
}

impl Finding {
    pub(crate) fn problem(name: impl Into<Option<LtxName>>, what: String) -> Self {
        Self { severity: Severity::Problem, name: name.into(), what }
    }

    fn note(name: impl Into<Option<LtxName>>, what: String) -> Self {
        Self { severity: Severity::Note, name: name.into(), what }
    }
}

/// Looks at the whole: does it lead to its end, also from every snapshot; has a level holes; are
/// there files that nothing leads to; do times ascend.
#[must_use]
pub fn audit(files: &[LtxInfo]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if files.is_empty() {
        return findings;
    }
    if let Err(error) = resolve(files, Target::Newest) {
        findings.push(Finding::problem(None, error.to_string()));
    }
    findings.extend(snapshots(files));
    findings
        .extend((0..Level::SNAPSHOT.get()).filter_map(Level::new).flat_map(|l| holes(files, l)));
    findings.extend(stranded(files));
    findings.extend(clocks(files));
    findings
}

/// Snapshots that are none, and those from which the history does not go on to the end.
fn snapshots(files: &[LtxInfo]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.name.level == Level::SNAPSHOT) {
        let name = file.name;
        if name.min != Txid::new(1) {
            let what = String::from("a snapshot begins with transaction 1");
            findings.push(Finding::problem(name, what));
        } else if let Err(error) = restore_plan(files, name.max, None) {
            let what = format!("the history does not go on from here to the end: {error}");
            findings.push(Finding::note(name, what));
        }
    }
    findings
}

/// Transactions that a level lacks between its first and its last one.
fn holes(files: &[LtxInfo], level: Level) -> Vec<Finding> {
    let mut names: Vec<LtxName> =
        files.iter().map(|f| f.name).filter(|n| n.level == level).collect();
    names.sort();
    let mut findings = Vec::new();
    let mut covered = names.first().map_or(Txid::ZERO, |first| first.max);
    for name in names {
        if name.min > covered.next() {
            let (from, to) = (covered.next(), name.min.get() - 1);
            let what = format!("level {} lacks transactions {from} to {to}", level.get());
            findings.push(Finding::note(None, what));
        }
        covered = covered.max(name.max);
    }
    findings
}

/// Files that no other files lead to.
fn stranded(files: &[LtxInfo]) -> Option<Finding> {
    let states: BTreeSet<Txid> = restorable(files).into_iter().map(|state| state.txid).collect();
    let mut stranded = files.iter().map(|file| file.name).filter(|n| !states.contains(&n.max));
    let first = stranded.next()?;
    let what = match stranded.count() {
        0 => String::from("no files lead to it"),
        more => format!("no files lead to it and to {more} more"),
    };
    Some(Finding::note(first, what))
}

/// Commit times that go back: restores by time are by the clocks of the primaries.
fn clocks(files: &[LtxInfo]) -> Option<Finding> {
    let states = restorable(files);
    let back = states.windows(2).filter(|pair| pair[1].timestamp_ms < pair[0].timestamp_ms);
    let pair = back.max_by_key(|pair| pair[0].timestamp_ms - pair[1].timestamp_ms)?;
    let by = pair[0].timestamp_ms - pair[1].timestamp_ms;
    let what = format!(
        "the clock went back by {by} ms between transactions {} and {}: a restore by time goes by \
         these clocks",
        pair[0].txid, pair[1].txid
    );
    Some(Finding::note(None, what))
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::files;
    use super::*;

    #[test]
    fn every_flaw_is_found_and_a_sound_bucket_has_none() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("0:1-1@10 0:2-2@20 0:3-3@30", &[]),
            (
                "9:1-2@25 0:3-3@30 1:3-6@60 0:7-7@70 9:1-7@75 0:8-8@80",
                &["note: level 0 lacks transactions 4 to 6"],
            ),
            (
                "9:1-2@20 0:4-4@40",
                &[
                    "problem: the bucket is incomplete: transaction 3 is in no file of the bucket",
                    "note: ltx/9/0000000000000001-0000000000000002.ltx: the history does not go on \
                 from here to the end: transaction 3 is in no file of the bucket",
                    "note: ltx/0/0000000000000004-0000000000000004.ltx: no files lead to it",
                ],
            ),
            (
                "9:1-2@20 9:1-6@60 0:7-7@70",
                &["note: ltx/9/0000000000000001-0000000000000002.ltx: the history does not go on \
                 from here to the end: transaction 3 is only in a snapshot: rebuild from \
                 snapshot ltx/9/0000000000000001-0000000000000006.ltx"],
            ),
            (
                "9:2-2@20 0:1-1@10",
                &["problem: ltx/9/0000000000000002-0000000000000002.ltx: a snapshot begins with \
                 transaction 1"],
            ),
            (
                "0:1-1@10 0:2-2@90 0:3-3@50",
                &["note: the clock went back by 40 ms between transactions 2 and 3: a restore by \
                 time goes by these clocks"],
            ),
        ];
        for (text, expected) in cases {
            let found: Vec<String> = audit(&files(text)).iter().map(in_words).collect();
            assert_eq!(found, *expected, "{text}");
        }
    }

    fn in_words(finding: &Finding) -> String {
        let severity = match finding.severity {
            Severity::Note => "note",
            Severity::Problem => "problem",
        };
        let name = finding.name.map_or_else(String::new, |name| format!("{name}: "));
        format!("{severity}: {name}{}", finding.what)
    }
}
