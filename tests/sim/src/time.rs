//! Time: the true one, in microseconds, and what the clock of a host makes of it.

use std::time::Duration;

use ccm_types::Monotonic;

/// True time since the beginning of a run, in microseconds. Nobody in the world knows it.
pub type Time = u64;

/// A millisecond.
pub(crate) const MS: Time = 1000;

/// A second.
pub(crate) const S: Time = 1_000_000;

/// A duration in true time.
pub(crate) fn micros(duration: Duration) -> Time {
    Time::try_from(duration.as_micros()).unwrap_or(Time::MAX)
}

/// `CLOCK_BOOTTIME` of one host: its own offset, its own rate; it may be stopped (a virtual
/// machine that is paused), never set.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    offset_ms: u64,
    /// Parts per million by which it is fast.
    ppm: i64,
    /// True time that it has missed.
    missed: Time,
    /// The wall clock's distance, in milliseconds; may be set at any time.
    pub(crate) wall_ms: i64,
}

impl Clock {
    pub(crate) fn new(offset_ms: u64, ppm: i64, wall_ms: i64) -> Self {
        Self { offset_ms, ppm, missed: 0, wall_ms }
    }

    fn rate(&self) -> u64 {
        1_000_000_u64.saturating_add_signed(self.ppm)
    }

    /// What it shows.
    pub(crate) fn local(&self, time: Time) -> Monotonic {
        let run = u128::from(time.saturating_sub(self.missed)) * u128::from(self.rate());
        let millis = u64::try_from(run / 1_000_000_000).unwrap_or(u64::MAX);
        Monotonic::from_millis(self.offset_ms + millis)
    }

    /// The first moment at which it shows `local` or later.
    pub(crate) fn real(&self, local: Monotonic) -> Time {
        let millis = u128::from(local.as_millis().saturating_sub(self.offset_ms));
        let run = (millis * 1_000_000_000).div_ceil(u128::from(self.rate()));
        u64::try_from(run).unwrap_or(u64::MAX).saturating_add(self.missed)
    }

    /// The wall clock, in milliseconds since the Unix epoch.
    pub(crate) fn wall(&self, time: Time) -> i64 {
        const TODAY: i64 = 1_800_000_000_000;
        TODAY + i64::try_from(time / MS).unwrap_or(0) + self.wall_ms
    }

    /// It has stood still for so long.
    pub(crate) fn miss(&mut self, time: Time) {
        self.missed += time;
    }

    /// The host has been started anew: the clock begins again.
    pub(crate) fn restart(&mut self, time: Time) {
        self.missed = time;
        self.offset_ms = 1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_moment_not_before_it_comes() {
        for ppm in [-10_000, 0, 37, 10_000] {
            let clock = Clock::new(123_456, ppm, 0);
            for ms in [123_456, 123_457, 200_000, 1_000_003] {
                let local = Monotonic::from_millis(ms);
                let real = clock.real(local);
                assert_eq!(clock.local(real), local, "{ppm} {ms}");
                assert!(real == 0 || clock.local(real - 1) < local, "{ppm} {ms}");
            }
        }
    }
}
