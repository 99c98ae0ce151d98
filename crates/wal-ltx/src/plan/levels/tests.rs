//! Compactions as tables: the files of a bucket, the time, what is merged.

use super::*;

/// `"0:5-5@31"` = a level-0 file of transaction 5, committed in second 31; 100 bytes long.
fn files(text: &str) -> Vec<LtxInfo> {
    let file = |word: &str| {
        let (range, second) = word.split_once('@').unwrap();
        let (level, range) = range.split_once(':').unwrap();
        let (min, max) = range.split_once('-').unwrap();
        let txid = |t: &str| Txid::new(t.parse().unwrap());
        let level = Level::new(level.parse().unwrap()).unwrap();
        let name = LtxName { level, min: txid(min), max: txid(max) };
        let timestamp_ms = second.parse::<i64>().unwrap() * 1000;
        LtxInfo { name, size: 100, timestamp_ms, epoch: None }
    };
    text.split_whitespace().map(file).collect()
}

/// `"1:1-3=0:1-1,0:2-3"` = the two files become the one.
fn short(due: &[Compaction]) -> String {
    let word = |n: &LtxName| format!("{}:{}-{}", n.level.get(), n.min, n.max);
    let one = |c: &Compaction| {
        let inputs: Vec<String> = c.inputs.iter().map(word).collect();
        format!("{}={}", word(&c.output().unwrap()), inputs.join(","))
    };
    due.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn check(cases: &[(&str, i64, &str)], schedule: &Schedule) {
    for (text, second, expected) in cases {
        let due = due(&files(text), second * 1000, schedule);
        assert_eq!(short(&due), *expected, "{text} at {second}");
    }
}

#[test]
fn what_was_committed_in_a_slot_becomes_one_file_when_the_slot_has_passed() {
    let cases = [
        ("", 100, ""),
        ("0:1-1@1 0:2-2@29", 29, ""),
        ("0:1-1@1 0:2-2@29", 30, "1:1-2=0:1-1,0:2-2"),
        ("0:1-1@1 0:2-2@29 0:3-3@30", 31, "1:1-2=0:1-1,0:2-2"),
        // Nobody has looked for a while: a file per slot all the same.
        ("0:1-1@1 0:2-2@29 0:3-3@30 0:4-4@70", 100, "1:1-2=0:1-1,0:2-2 1:3-3=0:3-3 1:4-4=0:4-4"),
        // What is in level 1 is not merged again.
        ("1:1-2@29 0:1-1@1 0:2-2@29", 100, ""),
        ("1:1-2@29 0:1-1@1 0:2-2@29 0:3-3@40", 60, "1:3-3=0:3-3"),
        // Snapshots are no inputs, and level 0 need not begin with the first transaction.
        ("9:1-4@20 0:5-5@21 0:6-6@22", 30, "1:5-6=0:5-5,0:6-6"),
    ];
    check(&cases, &Schedule::default());
}

#[test]
fn the_levels_above_take_the_files_that_are_made_just_before() {
    let all = "1:1-1=0:1-1 1:2-3=0:2-2,0:3-3 1:4-4=0:4-4 2:1-3=1:1-1,1:2-3";
    let cases = [
        ("0:1-1@1 0:2-2@280 0:3-3@299 0:4-4@301", 330, all),
        ("1:1-1@1 1:2-3@299 0:3-3@299", 299, ""),
        ("1:1-1@1 1:2-3@299 0:3-3@299", 300, "2:1-3=1:1-1,1:2-3"),
        ("2:1-1@1 2:2-3@3599 1:2-3@3599 1:4-4@3601", 3600, "3:1-3=2:1-1,2:2-3"),
        // An idle database is compacted to the top once, and then left alone.
        ("0:1-1@1", 7200, "1:1-1=0:1-1 2:1-1=1:1-1 3:1-1=2:1-1"),
        ("0:1-1@1 1:1-1@1 2:1-1@1 3:1-1@1", 7200, ""),
    ];
    check(&cases, &Schedule::default());
}

#[test]
fn holes_and_overlaps_of_foreign_buckets_are_no_trouble() {
    let cases = [
        ("0:1-1@1 0:3-3@2 0:4-4@3", 30, "1:1-1=0:1-1 1:3-4=0:3-3,0:4-4"),
        ("1:1-5@1 0:4-7@2 0:6-6@2 0:8-8@3", 30, "1:4-8=0:4-7,0:8-8"),
        ("0:2-2@1 0:2-5@2 0:3-4@2 0:6-6@3", 30, "1:2-6=0:2-5,0:6-6"),
    ];
    check(&cases, &Schedule::default());
}

#[test]
fn a_clock_that_went_back_delays_nothing() {
    let cases = [
        // Transaction 2 comes from a node whose clock was an hour ahead.
        ("0:1-1@1 0:2-2@3700 0:3-3@20", 30, "1:1-1=0:1-1 1:2-3=0:2-2,0:3-3"),
        ("0:1-1@1 0:2-2@3700", 30, "1:1-1=0:1-1"),
    ];
    check(&cases, &Schedule::default());
}

#[test]
fn a_compaction_takes_a_bounded_number_of_bytes_or_one_larger_file() {
    let files = "0:1-1@1 0:2-2@1 0:3-3@1 0:4-4@1 0:5-5@1";
    let parts = |bytes_max| Schedule { bytes_max, intervals: vec![Duration::from_secs(30)] };
    let pairs = "1:1-2=0:1-1,0:2-2 1:3-4=0:3-3,0:4-4 1:5-5=0:5-5";
    check(&[(files, 30, pairs)], &parts(200));
    let single = "1:1-1=0:1-1 1:2-2=0:2-2 1:3-3=0:3-3 1:4-4=0:4-4 1:5-5=0:5-5";
    check(&[(files, 30, single)], &parts(1));
}

#[test]
fn a_large_database_that_a_bucket_begins_with_is_not_copied_level_by_level() {
    let mut files = files("0:1-1@10 0:2-2@11 0:3-3@12 0:4-4@40");
    let due = |files: &[LtxInfo]| short(&due(files, 40_000, &Schedule::default()));
    assert_eq!(due(&files), "1:1-3=0:1-1,0:2-2,0:3-3");
    files[0].size = LARGE + 1;
    assert_eq!(due(&files), "1:2-3=0:2-2,0:3-3");
    files.truncate(1);
    assert_eq!(due(&files), "");
}
