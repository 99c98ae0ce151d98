//! What may go, and that everything can be restored while it goes.

use super::*;
use crate::plan::{Compaction, Schedule, due, restore_plan};

const SECOND: i64 = 1000;
const NOT_IDLE: Duration = Duration::ZERO;

fn name(level: u8, min: u64, max: u64) -> LtxName {
    LtxName { level: Level::new(level).unwrap(), min: Txid::new(min), max: Txid::new(max) }
}

/// A file of epoch 1, or of the one after `@`, written so many seconds ago.
fn file(text: &str, now: i64) -> LtxInfo {
    let (range, age) = text.split_once('-').unwrap();
    let (age, epoch) = age.split_once('@').unwrap_or((age, "1"));
    let parts: Vec<u64> = range.split(':').map(|n| n.parse().unwrap()).collect();
    let level = u8::try_from(parts[0]).unwrap();
    LtxInfo {
        name: name(level, parts[1], parts[parts.len() - 1]),
        size: 1,
        timestamp_ms: now - age.parse::<i64>().unwrap() * SECOND,
        epoch: Some(Epoch::new(epoch.parse().unwrap())),
    }
}

fn short(names: &[LtxName]) -> String {
    let word = |n: &LtxName| format!("{}:{}:{}", n.level.get(), n.min, n.max);
    names.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_may_go() {
    // level:min:max-age in seconds; a history of 1000 seconds.
    let cases = [
        ("", ""),
        // Level 0 goes when it is old and compacted, but for the newest file.
        ("0:1:1-400 0:2:2-400 0:3:3-400", ""),
        ("0:1:1-400 0:2:2-400 0:3:3-10 1:1:2-400", "0:1:1 0:2:2"),
        ("0:1:1-400 0:2:2-400 1:1:2-400", "0:1:1"),
        // Together with the others that its file of level 1 contains.
        ("0:1:1-400 0:2:2-200 0:3:3-10 1:1:2-200", ""),
        // Only what one file contains as a whole.
        ("0:1:1-400 0:2:2-400 0:3:3-400 1:1:1-400 1:3:3-400", "0:1:1"),
        ("0:1:3-400 0:4:4-400 1:1:2-400 1:3:4-400", ""),
        ("0:1:3-400 0:4:4-400 1:1:2-400 1:3:4-400 2:1:4-400", "0:1:3"),
        // A snapshot contains nothing in this sense: a passive node would have to rebuild.
        ("0:2:2-400 0:3:3-400 9:1:2-400", ""),
        // The last file of an epoch stays as a proof.
        ("0:1:1-400@1 0:2:2-400@1 0:3:3-400@2 0:4:4-400@2 1:1:4-400@2", "0:1:1 0:3:3"),
        ("0:1:1-4000@1 0:2:2-4000@1 0:3:3-10@2 1:1:2-4000@2", "0:1:1"),
        // Snapshots go when a newer one is old enough, with all that they lead to.
        ("9:1:2-2000 9:1:4-1500 9:1:6-10 0:7:7-5", "9:1:2"),
        ("9:1:2-2000 9:1:4-900 9:1:6-10", ""),
        ("9:1:2-2000 9:1:4-1500", "9:1:2"),
        ("9:1:4-1500 1:1:2-2000 1:3:4-1500 1:5:6-20 0:4:4-1500@7 0:7:7-1", "1:1:2 1:3:4 0:4:4"),
        ("9:1:4-1500 1:1:2-2000 1:3:5-1400 1:6:6-9", "1:1:2"),
        // Between the first snapshot and the newest none is needed when increments lead on.
        ("9:1:2-900 9:1:4-800 9:1:6-10 1:3:4-800 1:5:6-10", "9:1:4"),
        ("9:1:2-900 9:1:4-800 9:1:5-700 9:1:6-10 1:3:4-800 0:5:5-700 0:6:6-10", "9:1:4 9:1:5"),
        ("9:1:2-900 9:1:4-800 9:1:5-700 9:1:6-10 1:3:4-800 1:6:6-10", "9:1:4"),
        ("9:1:2-1900 9:1:4-900 9:1:6-10 1:3:6-10", "9:1:4"),
        // In a new bucket the first file of all is the first copy.
        ("0:1:1-90 9:1:2-80 9:1:6-10 1:2:6-10", "9:1:2"),
        ("0:1:1-90 9:1:2-80 9:1:6-10 1:3:6-10", ""),
        // But the one with which the history can begin when the first is not brought forward.
        ("9:1:2-1600 9:1:4-90 9:1:6-10 1:3:6-10", ""),
        ("9:1:2-1600 9:1:3-110 9:1:4-90 9:1:5-50 9:1:6-10 1:3:6-10", "9:1:3 9:1:5"),
        // The newest of a level stays.
        ("9:1:4-1500 1:1:4-1500 2:1:4-1500 3:1:4-1500 0:4:4-1500", ""),
        ("9:1:4-1500 0:4:4-1500", ""),
    ];
    let now = 1_700_000_000_000;
    for (text, expected) in cases {
        let files: Vec<LtxInfo> = text.split_whitespace().map(|word| file(word, now)).collect();
        // A clock that is believed.
        let history = Duration::from_secs(1000);
        let retention = Retention { step_max: Duration::MAX, ..Retention::new(history) };
        assert_eq!(short(&expired(&files, now, NOT_IDLE, &retention)), expected, "{text}");
    }
}

#[test]
fn under_load_compacted_files_of_level_0_go_at_once() {
    let now = 1_700_000_000_000;
    let files: Vec<LtxInfo> =
        ["0:1:1-9", "0:2:2-8", "0:3:3-7", "0:4:4-6", "0:5:5-5", "0:6:6-4", "1:1:4-6"]
            .iter()
            .map(|word| file(word, now))
            .collect();
    let some = |level0_files_max| Retention {
        level0_files_max,
        ..Retention::new(Duration::from_secs(1000))
    };
    assert_eq!(short(&expired(&files, now, NOT_IDLE, &some(4))), "");
    assert_eq!(short(&expired(&files, now, NOT_IDLE, &some(1))), "0:1:1 0:2:2 0:3:3");
    assert_eq!(short(&expired(&files, now, NOT_IDLE, &some(0))), "0:1:1 0:2:2 0:3:3 0:4:4");
}

/// A bucket with a past: commits, snapshots, takeovers, compactions, deletions.
struct Past {
    files: Vec<LtxInfo>,
    /// Commit time of each transaction from 1 on.
    commits: Vec<i64>,
    epoch: u64,
    random: u64,
    schedule: Schedule,
    retention: Retention,
}

impl Past {
    fn new(seed: u64) -> Self {
        Self {
            files: Vec::new(),
            commits: Vec::new(),
            epoch: 1,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            schedule: Schedule {
                intervals: [3, 12, 48].map(Duration::from_secs).to_vec(),
                bytes_max: 40,
            },
            retention: Retention {
                history: Duration::from_secs(200),
                step_max: Duration::from_secs(5),
                level0: Duration::from_secs(20),
                level0_files_max: 1000,
            },
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn tip(&self) -> u64 {
        u64::try_from(self.commits.len()).unwrap()
    }

    fn put(&mut self, name: LtxName, timestamp_ms: i64) {
        let epoch = Some(Epoch::new(self.epoch));
        let size = if name.level == Level::SNAPSHOT { 10_000 } else { 1 };
        self.files.push(LtxInfo { name, size, timestamp_ms, epoch });
    }

    fn snapshots(&self) -> usize {
        self.files.iter().filter(|f| f.name.level == Level::SNAPSHOT).count()
    }

    /// The last transaction that was committed no later.
    fn at(&self, time: i64) -> u64 {
        u64::try_from(self.commits.iter().filter(|commit| **commit <= time).count()).unwrap()
    }

    fn compact(&mut self, now: i64) {
        for compaction in due(&self.files, now, &self.schedule) {
            let Compaction { inputs, .. } = &compaction;
            let find = |name| self.files.iter().find(|f| f.name == name).unwrap();
            let newest = inputs.last().map(|last| find(*last).timestamp_ms).unwrap();
            assert!(inputs.iter().all(|input| find(*input).timestamp_ms <= newest));
            let output = compaction.output().unwrap();
            assert!(self.files.iter().all(|f| f.name != output), "{output} is there");
            self.put(output, newest);
        }
        let later = forward(&self.files, now, NOT_IDLE, &self.retention, u64::MAX);
        if let Some((output, last)) = later.and_then(|c| Some((c.output()?, *c.inputs.last()?))) {
            let last = self.files.iter().find(|f| f.name == last).unwrap();
            self.put(output, last.timestamp_ms);
        }
    }

    /// Where a restore to `time` ends.
    fn restored(&self, time: i64) -> Txid {
        let until = || self.files.iter().filter(|f| f.timestamp_ms <= time).map(|f| f.name);
        let snapshots = until().filter(|n| n.level == Level::SNAPSHOT);
        let mut at = snapshots.map(|n| n.max).max().unwrap_or(Txid::ZERO);
        while let Some(next) =
            until().filter(|n| n.min <= at.next() && n.max > at).map(|n| n.max).max()
        {
            at = next;
        }
        at
    }

    fn check(&mut self, now: i64) {
        let tip = Txid::new(self.tip());
        let ends = |plan: &[LtxName]| plan.last().is_none_or(|last| last.max == tip);
        assert!(ends(&restore_plan(&self.files, Txid::ZERO, None).unwrap()));
        let begin = now - 200 * SECOND;
        let first = self.at(begin.max(self.commits[0]));
        for _ in 0..4 {
            let from = Txid::new(first + self.below(self.tip() - first + 1));
            let plan = restore_plan(&self.files, from, None);
            assert!(plan.is_ok_and(|plan| ends(&plan)), "from {from}, {:?}", self.files);
        }
        for _ in 0..4 {
            let age = i64::try_from(self.below(200)).unwrap() * SECOND;
            let time = (now - age).max(self.commits[0]);
            // Within the retention of level 0 every commit, before it every boundary of level 1.
            let exact = age <= 20 * SECOND;
            let sure = if exact { time } else { time.div_euclid(3 * SECOND) * 3 * SECOND - 1 };
            let expected = Txid::new(self.at(sure.max(self.commits[0])));
            let restored = self.restored(time);
            assert!(restored >= expected, "{restored} at {age} s, {:?}", self.files);
            assert!(restored <= Txid::new(self.at(time)));
        }
    }
}

#[test]
fn everything_can_be_restored_at_every_moment_of_a_long_life() {
    for seed in 0..12 {
        let mut past = Past::new(seed);
        let mut now = 1_700_000_000_000;
        let mut snapshot_at = now;
        let mut most = 0;
        for _ in 0..600 {
            now += i64::try_from(past.below(2500)).unwrap();
            past.commits.push(now);
            past.put(name(0, past.tip(), past.tip()), now);
            if past.below(100) == 0 {
                past.epoch += 1;
            }
            if now >= snapshot_at {
                past.put(name(9, 1, past.tip()), now);
                snapshot_at = now + i64::try_from(past.below(90)).unwrap() * SECOND;
            }
            // A compactor does not always run, and does not always get through.
            if past.below(8) == 0 {
                past.compact(now);
                let mut gone = expired(&past.files, now, NOT_IDLE, &past.retention);
                if seed % 2 == 1 {
                    let len = gone.len().max(1);
                    gone.rotate_left(usize::try_from(seed).unwrap() % len);
                }
                if past.below(3) == 0 {
                    gone.truncate(3);
                }
                for name in gone {
                    past.files.retain(|f| f.name != name);
                    past.check(now);
                }
            }
            most = most.max(past.files.len());
        }
        assert!(most < 400, "{most} files");
        past.compact(now);
        let gone = expired(&past.files, now, NOT_IDLE, &past.retention);
        past.files.retain(|f| !gone.contains(&f.name));
        assert!(past.snapshots() <= 3, "{} snapshots, seed {seed}", past.snapshots());
    }
}

const YEAR: i64 = 366 * 24 * 3600;

#[test]
fn a_clock_that_jumps_takes_one_step_of_the_history() {
    // A day of history, a snapshot every hour, the newest one now.
    let now = 1_700_000_000_000;
    let hour = 3600;
    let hourly = |ages: std::ops::RangeInclusive<i64>| -> Vec<LtxInfo> {
        let file = |age| {
            let txid = u64::try_from(1000 - age).unwrap();
            let name = name(9, 1, txid);
            let timestamp_ms = now - age * hour * SECOND;
            LtxInfo { name, size: 1, timestamp_ms, epoch: Some(Epoch::new(1)) }
        };
        ages.map(file).collect()
    };
    let day = Retention::new(Duration::from_secs(24 * 3600));
    let gone = |files: &[LtxInfo], now| expired(files, now, NOT_IDLE, &day).len();
    let files = hourly(0..=30);
    assert_eq!(gone(&files, now), 6, "the one with which the day begins stays");
    for ahead in [YEAR, 1000 * YEAR] {
        assert_eq!(gone(&files, now + ahead * SECOND), 7, "{ahead} s ahead");
    }
    assert_eq!(gone(&files, i64::MAX), 7);
    for back in [hour, YEAR] {
        assert_eq!(gone(&files, now - back * SECOND), 6, "{back} s back");
    }
    assert_eq!(gone(&files, i64::MIN), 6);

    // The clock jumps, and the primary goes on by it: what it writes is a year ahead.
    let mut ahead = hourly(0..=24);
    for (n, file) in hourly(0..=3).into_iter().enumerate() {
        let txid = 1001 + u64::try_from(n).unwrap();
        let timestamp_ms = now + YEAR * SECOND + i64::try_from(n).unwrap() * hour * SECOND;
        ahead.push(LtxInfo { name: name(9, 1, txid), timestamp_ms, ..file });
    }
    let then = now + (YEAR + 3 * hour) * SECOND;
    assert_eq!(gone(&ahead, then), 4, "four steps in four commits");
    // It is set right again: what was written ahead is not old, and nothing is older by it.
    assert_eq!(gone(&ahead, now + 4 * hour * SECOND), 4);

    // A year without commits, but nobody has seen it pass; then ten hours of it that were seen.
    let idle = hourly(0..=24);
    assert_eq!(gone(&idle, now + YEAR * SECOND), 1);
    let seen = Duration::from_secs(10 * 3600);
    assert_eq!(expired(&idle, now + YEAR * SECOND, seen, &day).len(), 10);
    assert_eq!(expired(&idle, now, seen, &day).len(), 0, "by the slower of the two clocks");
}

#[test]
fn nothing_that_the_newest_state_needs_ever_goes_whatever_the_clocks_say() {
    for seed in 0..200 {
        let mut past = Past::new(seed);
        let (mut clock, mut last_snapshot) = (1_700_000_000_000_i64, 0);
        for _ in 0..60 {
            clock = match past.below(12) {
                0 => clock.saturating_add(YEAR * SECOND),
                1 => clock.saturating_sub(YEAR * SECOND),
                _ => clock + i64::try_from(past.below(4000)).unwrap(),
            };
            past.commits.push(clock);
            past.put(name(0, past.tip(), past.tip()), clock);
            if past.below(9) == 0 && last_snapshot != past.tip() {
                last_snapshot = past.tip();
                past.put(name(9, 1, last_snapshot), clock);
            }
            for compaction in due(&past.files, clock, &past.schedule) {
                let last = *compaction.inputs.last().unwrap();
                let timestamp = past.files.iter().find(|f| f.name == last).unwrap().timestamp_ms;
                past.put(compaction.output().unwrap(), timestamp);
            }
            for gone in expired(&past.files, clock, NOT_IDLE, &past.retention) {
                past.files.retain(|f| f.name != gone);
                let plan = restore_plan(&past.files, Txid::ZERO, None).unwrap();
                assert_eq!(plan.last().map(|last| last.max), Some(Txid::new(past.tip())));
            }
        }
    }
}

#[test]
fn an_idle_bucket_comes_to_rest() {
    let mut past = Past::new(1);
    let start = 1_700_000_000_000;
    for second in 0..100 {
        past.commits.push(start + second * SECOND);
        past.put(name(0, past.tip(), past.tip()), start + second * SECOND);
    }
    past.put(name(9, 1, 100), start + 100 * SECOND);
    let later = start + 3600 * SECOND;
    past.compact(later);
    let hour = Duration::from_secs(3600);
    for name in expired(&past.files, later, hour, &past.retention) {
        past.files.retain(|f| f.name != name);
    }
    past.compact(later + 3600 * SECOND);
    let names: Vec<LtxName> = past.files.iter().map(|f| f.name).collect();
    let levels: Vec<u8> = names.iter().map(|n| n.level.get()).collect();
    assert_eq!(levels.len(), 5, "{names:?}");
    assert!(names.iter().all(|n| n.max == Txid::new(100)), "{names:?}");
    assert!(expired(&past.files, later + 3600 * SECOND, 2 * hour, &past.retention).is_empty());
}

#[test]
fn merged_files_that_others_contain_take_an_eighth_of_a_snapshot() {
    let now = 1_700_000_000_000;
    let words = "9:1:1-90 1:2:2-80 1:3:3-70 1:4:4-60 2:2:3-70 2:4:4-60 3:2:4-60 0:5:5-1";
    let sized = |snapshot| {
        let mut files: Vec<LtxInfo> = words.split(' ').map(|word| file(word, now)).collect();
        files[0].size = snapshot;
        short(&expired(&files, now, NOT_IDLE, &Retention::new(Duration::from_secs(1000))))
    };
    assert_eq!(sized(40), "");
    assert_eq!(sized(32), "1:2:2");
    // The newest of a level stays, and counts.
    assert_eq!(sized(16), "1:2:2 2:2:3 1:3:3");
    assert_eq!(sized(0), "1:2:2 2:2:3 1:3:3");
}

#[test]
fn the_beginning_of_the_history_is_brought_forward() {
    let cases = [
        ("", ""),
        ("9:1:2-1300 1:3:4-1200", "9:1:2 1:3:4"),
        // Not before it is a quarter too old.
        ("9:1:2-1200 1:3:4-1100", ""),
        ("9:1:2-1300 1:3:4-900 1:5:6-10", ""),
        // With the widest files, as far as they have left the history.
        ("9:1:2-1300 1:3:4-1200 1:5:5-1100 2:3:5-1100 1:6:6-1000 1:7:7-900", "9:1:2 2:3:5 1:6:6"),
        ("0:1:1-1300 1:2:4-1200 9:1:5-10", "0:1:1 1:2:4"),
        // A file of level 0 that is not merged as well.
        ("9:1:2-1300 1:3:4-1200 0:5:5-1100", "9:1:2 1:3:4 0:5:5"),
        ("9:1:2-1300 1:4:5-1200", ""),
        // A newer snapshot is old enough itself.
        ("9:1:2-1300 9:1:4-1100 1:3:4-1100 1:5:6-1050", ""),
        // More than may be merged: four files of one byte.
        ("9:1:2-1300 1:3:3-1200 1:4:4-1200 1:5:5-1200", "9:1:2 1:3:3 1:4:4 1:5:5"),
        ("9:1:2-1300 1:3:3-1200 1:4:4-1200 1:5:5-1200 1:6:6-1200", ""),
    ];
    let now = 1_700_000_000_000;
    for (text, expected) in cases {
        let files: Vec<LtxInfo> = text.split_whitespace().map(|word| file(word, now)).collect();
        let history = Duration::from_secs(1000);
        let retention = Retention { step_max: Duration::MAX, ..Retention::new(history) };
        let forward = forward(&files, now, NOT_IDLE, &retention, 4);
        assert_eq!(short(&forward.map_or(Vec::new(), |c| c.inputs)), expected, "{text}");
    }
}
