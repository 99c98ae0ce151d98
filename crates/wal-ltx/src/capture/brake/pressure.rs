//! How hard an application is held back.

use std::time::Duration;

/// The WAL is long from this part on of what may wait: much longer than it gets when capture
/// keeps up.
const WAL_FROM: u64 = 16;

/// At this part the brake is applied in full.
const WAL_FULL: u64 = 4;

/// The shortest time that the lock is held.
const HOLD_MIN: Duration = Duration::from_millis(2);

/// The longest.
const HOLD_MAX: Duration = Duration::from_millis(50);

/// The write lock is free for so long after a commit, so that short ones come in numbers; less
/// the longer it was held.
const FREE_MAX: Duration = Duration::from_millis(5);

/// A bucket that has taken nothing for so long is away: then nobody is held back.
const AWAY_AFTER: Duration = Duration::from_secs(5);

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) struct Load {
    /// Bytes of the WAL in use.
    pub(in crate::capture) wal: u64,
    /// Bytes and files that wait for the bucket.
    pub(in crate::capture) waiting: (u64, u64),
    /// The most that may wait.
    pub(in crate::capture) waiting_max: (u64, u64),
    /// How long the bucket has taken nothing although there was something.
    pub(in crate::capture) stalled: Duration,
}

/// How the brake is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) struct Pressure {
    /// How long the write lock is held at a time.
    pub(in crate::capture) hold: Duration,
    /// How long it is left alone after the next commit.
    pub(in crate::capture) free: Duration,
}

/// How hard the brake is applied. Not at all as long as capture keeps up, and while the bucket
/// is away: an application goes on without replication, and what it writes is kept.
pub(in crate::capture) fn pressure(load: &Load) -> Option<Pressure> {
    if load.stalled >= AWAY_AFTER {
        return None;
    }
    let (bytes, files) = load.waiting;
    let (bytes_max, files_max) = load.waiting_max;
    let parts = [
        part(load.wal, bytes_max / WAL_FROM, bytes_max / WAL_FULL),
        part(bytes, bytes_max / 2, bytes_max),
        part(files, files_max / 2, files_max),
    ];
    let most = parts.into_iter().fold(0.0, f64::max);
    (most > 0.0).then(|| Pressure {
        hold: HOLD_MIN + (HOLD_MAX - HOLD_MIN).mul_f64(most),
        free: FREE_MAX.mul_f64(1.0 - most),
    })
}

/// How far `at` is on the way; from 0 to 1.
fn part(at: u64, from: u64, to: u64) -> f64 {
    let (at, span) = (at.saturating_sub(from), to.saturating_sub(from).max(1));
    let permille = at.saturating_mul(1000) / span;
    f64::from(u32::try_from(permille.min(1000)).unwrap_or(1000)) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_held_the_longer_the_more_there_is_and_never_while_the_bucket_is_away() {
        const MIB: u64 = 1 << 20;
        // WAL MiB, waiting MiB and files, seconds without progress; milliseconds.
        let table = [
            (0, 0, 0, 0, 0),
            (64, 512, 512, 0, 0),
            (160, 0, 0, 0, 26),
            (256, 0, 0, 0, 50),
            (9000, 0, 0, 4, 50),
            (9000, 1024, 1024, 5, 0),
            (0, 768, 0, 0, 26),
            (0, 2000, 0, 0, 50),
            (0, 0, 768, 4, 26),
            (0, 0, 1024, 0, 50),
            (160, 1024, 0, 0, 50),
        ];
        for (wal, bytes, files, stalled, millis) in table {
            let load = Load {
                wal: wal * MIB,
                waiting: (bytes * MIB, files),
                waiting_max: (1024 * MIB, 1024),
                stalled: Duration::from_secs(stalled),
            };
            let hold = pressure(&load).map_or(Duration::ZERO, |pressure| pressure.hold);
            assert_eq!(hold, Duration::from_millis(millis), "{load:?}");
        }
        let little = Load {
            wal: 65 * MIB,
            waiting: (0, 0),
            waiting_max: (1024 * MIB, 1024),
            stalled: Duration::ZERO,
        };
        let little = pressure(&little).unwrap();
        assert!(little.hold >= HOLD_MIN && little.free <= FREE_MAX && !little.free.is_zero());
    }
}
