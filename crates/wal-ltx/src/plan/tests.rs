//! Plans as tables: the files of a bucket, the question, the answer.

use super::*;

/// `"9:1-4 0:5-5@7"` = a snapshot of 1 to 4 and a level-0 file of epoch 7.
fn files(text: &str) -> Vec<LtxInfo> {
    let file = |word: &str| {
        let (range, epoch) = match word.split_once('@') {
            Some((range, epoch)) => (range, Some(Epoch::new(epoch.parse().unwrap()))),
            None => (word, None),
        };
        LtxInfo { name: name(range), size: 1, timestamp_ms: 0, epoch }
    };
    text.split_whitespace().map(file).collect()
}

fn name(text: &str) -> LtxName {
    let (level, range) = text.split_once(':').unwrap();
    let (min, max) = range.split_once('-').unwrap();
    let txid = |t: &str| Txid::new(t.parse().unwrap());
    let level = Level::new(level.parse().unwrap()).unwrap();
    LtxName { level, min: txid(min), max: txid(max) }
}

fn short(plan: &[LtxName]) -> String {
    let word = |n: &LtxName| format!("{}:{}-{}", n.level.get(), n.min, n.max);
    plan.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn plan(text: &str, from: u64, to: Option<u64>) -> Result<String, PlanError> {
    restore_plan(&files(text), Txid::new(from), to.map(Txid::new)).map(|p| short(&p))
}

#[test]
fn the_plan_reaches_the_newest_transaction_with_the_files_that_cover_most() {
    let cases: &[(&str, u64, Option<u64>, &str)] = &[
        ("", 0, None, ""),
        ("", 7, None, ""),
        ("0:1-1", 0, None, "0:1-1"),
        ("0:1-1 0:2-2 0:3-3", 0, None, "0:1-1 0:2-2 0:3-3"),
        ("0:3-3 0:1-1 0:2-2", 0, Some(2), "0:1-1 0:2-2"),
        ("9:1-4 0:5-5 0:6-6", 0, None, "9:1-4 0:5-5 0:6-6"),
        ("9:1-2 9:1-4 0:3-3 0:4-4 0:5-5", 0, None, "9:1-4 0:5-5"),
        ("9:1-2 9:1-4 0:3-3 0:4-4 0:5-5", 0, Some(3), "9:1-2 0:3-3"),
        ("9:1-2 1:1-9 0:9-9 0:10-10", 0, None, "9:1-2 1:1-9 0:10-10"),
        ("9:1-2 1:3-6 2:3-9 0:7-7 0:9-9 0:10-10", 0, None, "9:1-2 2:3-9 0:10-10"),
        ("9:1-4 1:3-8 0:9-9", 0, None, "9:1-4 1:3-8 0:9-9"),
        ("0:5-5 0:6-6 1:5-6", 4, None, "1:5-6"),
        ("0:5-5 0:6-6 1:4-5", 5, None, "0:6-6"),
        ("9:1-6 0:5-5 0:6-6", 4, None, "0:5-5 0:6-6"),
        ("9:1-6 0:6-6", 6, None, ""),
        ("0:5-5 0:9-9", 4, Some(5), "0:5-5"),
        ("0:5-5", 9, None, ""),
        ("0:2-5 0:6-6", 1, None, "0:2-5 0:6-6"),
        ("3:1-8 2:9-12 1:13-14 0:15-15", 0, None, "3:1-8 2:9-12 1:13-14 0:15-15"),
        ("3:1-8 2:9-12 1:13-14 0:15-15", 5, None, "3:1-8 2:9-12 1:13-14 0:15-15"),
        ("9:1-6 3:1-8 2:9-12 1:9-10 1:11-12 0:12-12", 6, None, "3:1-8 2:9-12"),
        ("9:1-6 3:1-8 2:9-12 1:9-10 1:11-12 0:12-12", 0, Some(10), "9:1-6 3:1-8 1:9-10"),
        ("9:1-6 1:5-8 0:8-8 0:9-9", 7, None, "1:5-8 0:9-9"),
        ("9:1-6 1:5-8 0:2-2 0:9-9", 0, None, "9:1-6 1:5-8 0:9-9"),
    ];
    for (text, from, to, expected) in cases {
        assert_eq!(plan(text, *from, *to).as_deref(), Ok(*expected), "{text} {from} {to:?}");
    }
}

#[test]
fn a_gap_names_the_first_missing_transaction() {
    let cases = [
        ("0:1-1 0:3-3", 0, None, 2),
        ("0:2-2", 0, None, 1),
        ("9:1-4 0:6-6", 0, None, 5),
        ("9:1-4 1:6-9", 4, None, 5),
        ("9:1-4 0:5-5", 0, Some(6), 6),
        ("9:1-4", 0, Some(3), 1),
        ("", 0, Some(1), 1),
    ];
    for (text, from, to, missing) in cases {
        let missing = Txid::new(missing);
        assert_eq!(plan(text, from, to), Err(PlanError::Gap { missing }), "{text} {from} {to:?}");
    }
    let behind = PlanError::Behind { from: Txid::new(5), to: Txid::new(4) };
    assert_eq!(plan("0:1-1", 5, Some(4)), Err(behind));
}

#[test]
fn a_database_whose_increments_are_gone_is_told_to_start_from_the_snapshot() {
    let cases = [
        ("9:1-9 0:9-9 0:10-10", 4, 5, "9:1-9"),
        ("9:1-9", 4, 5, "9:1-9"),
        ("9:1-9 0:5-5 0:10-10", 4, 6, "9:1-9"),
        ("9:1-7 9:1-9 0:10-10", 4, 5, "9:1-9"),
    ];
    for (text, from, missing, snapshot) in cases {
        let expected =
            PlanError::NeedsSnapshot { missing: Txid::new(missing), snapshot: name(snapshot) };
        assert_eq!(plan(text, from, None), Err(expected), "{text} {from}");
        assert!(plan(text, 0, None).is_ok(), "{text}: the rebuild works");
    }
}

#[test]
fn the_position_of_an_epoch_is_the_last_transaction_it_or_an_earlier_one_wrote() {
    let bucket = "9:1-2@3 0:3-3@3 0:4-4@5 0:5-5@5 1:2-4@5 0:6-6@8";
    let cases = [
        (bucket, 2, None),
        (bucket, 3, Some((3, 3))),
        (bucket, 4, Some((3, 3))),
        (bucket, 5, Some((5, 5))),
        (bucket, 9, Some((8, 6))),
        ("0:1-1 0:2-2", 0, Some((0, 2))),
        ("0:1-1 0:2-2 0:3-3@1", 0, Some((0, 2))),
        ("", 9, None),
    ];
    for (text, epoch, expected) in cases {
        let expected = expected.map(|(e, t)| Position::new(Epoch::new(e), Txid::new(t)));
        assert_eq!(position_at(&files(text), Epoch::new(epoch)), expected, "{text} {epoch}");
    }
}

#[test]
fn the_newest_data_is_served_and_never_an_older_copy() {
    let epoch = |e: u64| Some(Epoch::new(e));
    let unrelated = |tip: u64| Err(Refusal::Unrelated { tip: Txid::new(tip) });
    // The data file (there or not, its stamp), the bucket, the verdict.
    type Case = (bool, Option<Epoch>, &'static str, Result<Verdict, Refusal>);
    let cases: &[Case] = &[
        (false, None, "", Ok(Verdict::Create)),
        (false, None, "9:1-2@1", Ok(Verdict::Swap)),
        (false, None, "0:1-1 0:2-2", Ok(Verdict::Swap)),
        (false, epoch(7), "9:1-2@1", Ok(Verdict::Swap)),
        (false, epoch(7), "", Ok(Verdict::Create)),
        (true, None, "", Ok(Verdict::Keep)),
        (true, None, "9:1-2@1", Ok(Verdict::Swap)),
        (true, None, "0:1-1 0:2-2@1", Ok(Verdict::Swap)),
        (true, None, "0:1-1 0:2-2", unrelated(2)),
        (true, epoch(1), "", Ok(Verdict::Keep)),
        (true, epoch(1), "0:1-1 0:2-2", Ok(Verdict::Keep)),
        (true, epoch(3), "9:1-2@3 0:3-3@3", Ok(Verdict::Keep)),
        (true, epoch(4), "9:1-2@3 0:3-3@3", Ok(Verdict::Keep)),
        (true, epoch(2), "9:1-2@3 0:3-3@3", Ok(Verdict::Swap)),
        (true, epoch(2), "0:1-1 0:2-2@2 0:3-3@3", Ok(Verdict::Swap)),
    ];
    for (present, stamp, bucket, expected) in cases {
        let data = DataSummary { present: *present, stamp: *stamp, replica: None, torn: None };
        assert_eq!(compare(data, &files(bucket)), *expected, "{data:?} {bucket}");
    }
}

#[test]
fn a_torn_replica_and_an_empty_bucket_are_never_an_empty_database() {
    let epoch = |e: u64| Some(Epoch::new(e));
    let torn = epoch(4);
    let alone = Err(Refusal::TornAlone { epoch: Epoch::new(4) });
    let cases = [
        (false, None, "", alone),
        (false, epoch(5), "", alone),
        (true, None, "", alone),
        (true, epoch(3), "", alone),
        (true, epoch(4), "", Ok(Verdict::Keep)),
        (true, epoch(5), "", Ok(Verdict::Keep)),
        (false, None, "9:1-2@1", Ok(Verdict::Swap)),
    ];
    for (present, stamp, bucket, expected) in cases {
        let data = DataSummary { present, stamp, replica: None, torn };
        assert_eq!(compare(data, &files(bucket)), expected, "{data:?} {bucket}");
    }
}
