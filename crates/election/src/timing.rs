//! The numbers of the lease, and the arithmetic behind them.

use std::time::Duration;

/// The two numbers an operator chooses; everything else follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a silent holder keeps the lease.
    pub ttl: Duration,
    /// Between two renewals.
    pub heartbeat: Duration,
}

/// The numbers do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The ttl is too short for scheduling and a stop.
    #[error("leaderTtlMs is {0}: it must be at least 1000")]
    TtlTooShort(u128),
    /// The heartbeat is shorter than a round trip deserves.
    #[error("heartbeatIntervalMs is {0}: it must be at least 100")]
    HeartbeatTooShort(u128),
    /// One lost renewal would cost the lease.
    #[error(
        "2 x heartbeatIntervalMs {heartbeat} + margin {margin} (drift {drift} + scheduling \
         {slack} + stop {stop}) = {sum} is more than leaderTtlMs {ttl}: one lost renewal would \
         cost the lease; lower the heartbeat or raise the ttl"
    )]
    DoesNotFit {
        /// Milliseconds.
        heartbeat: u128,
        /// Milliseconds.
        margin: u128,
        /// Milliseconds.
        drift: u128,
        /// Milliseconds.
        slack: u128,
        /// Milliseconds.
        stop: u128,
        /// Milliseconds.
        sum: u128,
        /// Milliseconds.
        ttl: u128,
    },
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Timing {
    /// What two clocks may differ in rate over one ttl: 1 %.
    #[must_use]
    pub fn drift(&self) -> Duration {
        self.ttl / 100
    }

    /// What scheduling may cost: 2 % of the ttl, 50 to 250 ms.
    #[must_use]
    pub fn slack(&self) -> Duration {
        (self.ttl / 50).clamp(ms(50), ms(250))
    }

    /// What stopping a backend without asking may take: 10 % of the ttl, 200 to 1000 ms.
    #[must_use]
    pub fn stop(&self) -> Duration {
        (self.ttl / 10).clamp(ms(200), ms(1000))
    }

    /// Drift, scheduling and stop together.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.drift() + self.slack() + self.stop()
    }

    /// From the send of a renewal to the moment the holder begins to stop.
    #[must_use]
    pub fn valid_for(&self) -> Duration {
        self.ttl.saturating_sub(self.margin())
    }

    /// From the send of a renewal to the kill.
    #[must_use]
    pub fn kill_after(&self) -> Duration {
        self.valid_for() + self.stop() / 2
    }

    /// From the send of a renewal to the moment nothing is left of the backend.
    #[must_use]
    pub fn gone_after(&self) -> Duration {
        self.valid_for() + self.stop()
    }

    /// The silence after which a standby takes over.
    #[must_use]
    pub fn takeover_after(&self) -> Duration {
        self.ttl + self.drift()
    }

    /// Between two tries while writes fail.
    #[must_use]
    pub fn retry(&self) -> Duration {
        (self.heartbeat / 10).clamp(ms(50), ms(300))
    }

    /// Between two looks at the key while somebody else may hold it.
    #[must_use]
    pub fn poll(&self) -> Duration {
        self.heartbeat.min(ms(1000))
    }

    /// How long one request may go unanswered: 10 % of the ttl, 250 to 1000 ms, so that several
    /// tries fit between a renewal that was due and the end of the lease.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        (self.ttl / 10).clamp(ms(250), ms(1000))
    }

    /// What a standby leaves to the last holder after it was itself blind: half of the ttl, one
    /// to three seconds. Whoever served last has the newest data and goes first.
    #[must_use]
    pub fn grace(&self) -> Duration {
        (self.ttl / 2).clamp(ms(1000), ms(3000))
    }

    /// A standby that has not seen the key for so long was blind: the holder may have been, too.
    #[must_use]
    pub fn blind_after(&self) -> Duration {
        self.poll() * 2 + self.request_timeout()
    }

    /// Whether the numbers fit together.
    ///
    /// # Errors
    /// [`TimingError`] shows the arithmetic.
    pub fn check(&self) -> Result<(), TimingError> {
        if self.ttl < ms(1000) {
            return Err(TimingError::TtlTooShort(self.ttl.as_millis()));
        }
        if self.heartbeat < ms(100) {
            return Err(TimingError::HeartbeatTooShort(self.heartbeat.as_millis()));
        }
        let sum = self.heartbeat * 2 + self.margin();
        if sum > self.ttl {
            return Err(TimingError::DoesNotFit {
                heartbeat: self.heartbeat.as_millis(),
                margin: self.margin().as_millis(),
                drift: self.drift().as_millis(),
                slack: self.slack().as_millis(),
                stop: self.stop().as_millis(),
                sum: sum.as_millis(),
                ttl: self.ttl.as_millis(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(ttl: u64, heartbeat: u64) -> Timing {
        Timing { ttl: ms(ttl), heartbeat: ms(heartbeat) }
    }

    #[test]
    fn the_holder_is_gone_before_the_standby_may_start_with_clocks_one_percent_apart() {
        for ttl in [1000, 3000, 10_000, 60_000] {
            let t = timing(ttl, 300);
            // The holder's clock is slow by 1 %, the standby's fast by 1 %.
            let gone = t.gone_after().as_secs_f64() / 0.99;
            let taken = t.takeover_after().as_secs_f64() / 1.01;
            assert!(gone <= taken, "ttl {ttl}: gone {gone} taken {taken}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_with_the_arithmetic() {
        assert_eq!(timing(10_000, 3_000).check(), Ok(()));
        assert_eq!(timing(999, 100).check(), Err(TimingError::TtlTooShort(999)));
        assert_eq!(timing(10_000, 99).check(), Err(TimingError::HeartbeatTooShort(99)));
        let text = timing(3_000, 3_000).check().unwrap_err().to_string();
        assert!(text.contains("= 6390 is more than leaderTtlMs 3000"), "{text}");
    }
}
