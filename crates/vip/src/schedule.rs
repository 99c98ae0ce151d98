//! When an address is announced, counted from the moment it was taken.

use std::time::Duration;

use crate::AnnounceConfig;

/// Announcements soon after the first: where that one was lost, while a switch learned the port or
/// a neighbour was busy, hardly anyone notices.
const EARLY: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(500)];

/// The moments of announcing: at once, twice soon after, then at the interval until the count is
/// reached, then at the refresh for ever.
///
/// ```
/// use std::time::Duration;
/// use ccm_vip::{AnnounceConfig, Schedule};
///
/// let moments: Vec<u128> =
///     Schedule::new(AnnounceConfig::default()).take(7).map(|at| at.as_millis()).collect();
/// assert_eq!(moments, [0, 250, 500, 1100, 2200, 3300, 63300]);
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    config: AnnounceConfig,
    /// Announcements given out, up to the count.
    given: u32,
    last: Option<Duration>,
}

impl Schedule {
    /// As `config` says.
    #[must_use]
    pub fn new(config: AnnounceConfig) -> Self {
        Self { config, given: 0, last: None }
    }

    /// The first moment after `last` that belongs to the count.
    fn following(&self, last: Duration) -> Duration {
        let early = EARLY.into_iter().find(|early| *early > last && *early < self.config.interval);
        // What is not early is a multiple of the interval.
        early.unwrap_or_else(|| {
            let mut at = self.config.interval;
            while at <= last {
                at += self.config.interval;
            }
            at
        })
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = match self.last {
            None => Duration::ZERO,
            Some(last) if self.given < self.config.count => self.following(last),
            Some(_) if self.config.refresh.is_zero() => return None,
            Some(last) => last + self.config.refresh,
        };
        self.given = self.given.saturating_add(1);
        self.last = Some(at);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u32, interval: u64, refresh: u64) -> Vec<u128> {
        let config = AnnounceConfig {
            count,
            interval: Duration::from_millis(interval),
            refresh: Duration::from_millis(refresh),
        };
        Schedule::new(config).take(8).map(|at| at.as_millis()).collect()
    }

    #[test]
    fn the_moments_follow_the_config() {
        for (count, interval, refresh, moments) in [
            (6, 1100, 60_000, vec![0, 250, 500, 1100, 2200, 3300, 63_300, 123_300]),
            (5, 1100, 0, vec![0, 250, 500, 1100, 2200]),
            (1, 1100, 10_000, vec![0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000]),
            (1, 1100, 0, vec![0]),
            (2, 1100, 0, vec![0, 250]),
            (4, 200, 0, vec![0, 200, 400, 600]),
            (4, 300, 0, vec![0, 250, 300, 600]),
            (4, 500, 0, vec![0, 250, 500, 1000]),
            (4, 3000, 1000, vec![0, 250, 500, 3000, 4000, 5000, 6000, 7000]),
        ] {
            assert_eq!(millis(count, interval, refresh), moments, "{count} {interval} {refresh}");
        }
    }

    #[test]
    fn a_linux_peer_that_has_just_learned_the_other_host_hears_one_after_its_locktime() {
        let locktime = Duration::from_secs(1);
        let heard = Schedule::new(AnnounceConfig::default()).take(6).filter(|at| *at > locktime);
        assert_eq!(heard.count(), 3);
    }
}
