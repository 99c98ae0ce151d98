//! States and targets as tables: the files of a bucket, the question, the answer.

use super::*;
use crate::store::Level;

/// `"9:1-4@40 0:5-5@50"` = a snapshot of 1 to 4 made at 40 and a level-0 file of 50.
pub(in crate::plan) fn files(text: &str) -> Vec<LtxInfo> {
    let file = |word: &str| {
        let (range, time) = word.split_once('@').unwrap();
        let (level, range) = range.split_once(':').unwrap();
        let (min, max) = range.split_once('-').unwrap();
        let txid = |t: &str| Txid::new(t.parse().unwrap());
        let level = Level::new(level.parse().unwrap()).unwrap();
        let name = LtxName { level, min: txid(min), max: txid(max) };
        LtxInfo { name, size: 10, timestamp_ms: time.parse().unwrap(), epoch: None }
    };
    text.split_whitespace().map(file).collect()
}

#[test]
fn a_state_can_be_restored_when_files_lead_to_it_from_nothing() {
    let cases = [
        ("", ""),
        ("0:1-1@10 0:2-2@20 0:3-3@30", "1@10 2@20 3@30"),
        ("0:3-3@30 0:1-1@10 0:2-2@20", "1@10 2@20 3@30"),
        ("9:1-4@45 0:4-4@40 0:5-5@50", "4@40 5@50"),
        ("9:1-4@45 0:3-3@30 0:4-4@40 0:5-5@50", "4@40 5@50"),
        ("9:1-2@20 1:1-9@90 0:9-9@90 0:10-10@100", "2@20 9@90 10@100"),
        ("9:1-2@20 0:4-4@40 9:1-6@60", "2@20 6@60"),
        ("9:1-2@20 1:3-5@50 0:5-5@50 0:6-6@60", "2@20 5@50 6@60"),
        ("0:2-2@20", ""),
        ("9:1-4@45 2:2-6@60", "4@45 6@60"),
    ];
    for (text, expected) in cases {
        let states = restorable(&files(text));
        let word = |s: &Restorable| format!("{}@{}", s.txid, s.timestamp_ms);
        let words: Vec<String> = states.iter().map(word).collect();
        assert_eq!(words.join(" "), expected, "{text}");
        for state in states {
            assert!(restore_plan(&files(text), Txid::ZERO, Some(state.txid)).is_ok(), "{text}");
        }
    }
}

/// The state and its plan in one word, or the error.
fn planned(text: &str, from: u64, target: Target) -> Result<String, TargetError> {
    let plan = plan_to(&files(text), Txid::new(from), target)?;
    let name = |f: &LtxInfo| format!("{}:{}-{}", f.name.level.get(), f.name.min, f.name.max);
    let names: Vec<String> = plan.files.iter().map(name).collect();
    let lost = plan.unreachable.map_or_else(String::new, |txid| format!(" not {txid}"));
    Ok(format!("{} = {}{lost}", plan.state.txid, names.join(" ")))
}

const BUCKET: &str = "9:1-2@25 0:3-3@30 0:4-4@40 1:3-6@60 0:7-7@70 9:1-7@75 0:8-8@80";

#[test]
fn a_target_means_the_last_transaction_that_fits() {
    use Target::{At, Newest};
    let txid = |n| Target::Txid(Txid::new(n));
    let cases = [
        (BUCKET, 0, Newest, "8 = 9:1-7 0:8-8"),
        (BUCKET, 0, At(1000), "8 = 9:1-7 0:8-8"),
        (BUCKET, 0, At(80), "8 = 9:1-7 0:8-8"),
        (BUCKET, 0, At(79), "7 = 9:1-7"),
        (BUCKET, 0, At(69), "6 = 9:1-2 1:3-6"),
        (BUCKET, 0, At(59), "4 = 9:1-2 0:3-3 0:4-4"),
        (BUCKET, 0, At(29), "2 = 9:1-2"),
        (BUCKET, 0, txid(4), "4 = 9:1-2 0:3-3 0:4-4"),
        (BUCKET, 0, txid(7), "7 = 9:1-7"),
        (BUCKET, 3, txid(4), "4 = 0:4-4"),
        (BUCKET, 4, txid(4), "4 = "),
        // A clock that went back: the highest transaction whose time fits.
        ("0:1-1@10 0:2-2@90 0:3-3@50 0:4-4@60", 0, At(55), "3 = 0:1-1 0:2-2 0:3-3"),
        // A hole hides what was committed in time.
        ("9:1-2@20 0:4-4@40 9:1-6@60", 0, At(45), "2 = 9:1-2 not 4"),
    ];
    for (text, from, target, expected) in cases {
        assert_eq!(planned(text, from, target).as_deref(), Ok(expected), "{text} {target:?}");
    }
}

#[test]
fn a_target_that_cannot_be_restored_says_what_can() {
    use Target::{At, Newest};
    let t = Txid::new;
    let first = Restorable { txid: t(2), timestamp_ms: 25 };
    let hole = |n| TargetError::Hole(PlanError::Gap { missing: t(n) });
    let cases = [
        ("", 0, Newest, TargetError::Empty),
        ("", 0, At(5), TargetError::Empty),
        (BUCKET, 0, At(24), TargetError::Before { first }),
        (BUCKET, 0, Target::Txid(t(1)), TargetError::Before { first }),
        (BUCKET, 0, Target::Txid(t(9)), TargetError::Beyond { wanted: t(9), tip: t(8), at: 80 }),
        (
            BUCKET,
            0,
            Target::Txid(t(5)),
            TargetError::Within { wanted: t(5), before: t(4), after: t(6) },
        ),
        ("0:2-2@20", 0, Newest, hole(1)),
        ("0:1-1@10 0:3-3@30", 0, Newest, hole(2)),
        ("0:1-1@10 0:3-3@30", 0, Target::Txid(t(2)), hole(2)),
        (
            BUCKET,
            7,
            Target::Txid(t(4)),
            TargetError::Hole(PlanError::Behind { from: t(7), to: t(4) }),
        ),
    ];
    for (text, from, target, expected) in cases {
        assert_eq!(planned(text, from, target), Err(expected), "{text} {target:?}");
    }
}

#[test]
fn a_long_history_is_planned_in_no_time() {
    let info = |n: u64| {
        let name = LtxName { level: Level::L0, min: Txid::new(n), max: Txid::new(n) };
        LtxInfo { name, size: 1, timestamp_ms: i64::try_from(n).unwrap(), epoch: None }
    };
    let files: Vec<LtxInfo> = (1..=200_000).map(info).collect();
    // Quadratic work would take hours.
    let plan = plan_to(&files, Txid::ZERO, Target::At(150_000)).unwrap();
    assert_eq!((plan.files.len(), plan.bytes()), (150_000, 150_000));
}
