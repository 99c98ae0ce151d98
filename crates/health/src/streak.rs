//! From single verdicts to up and down.

use std::num::NonZeroU32;

use crate::Verdict;

/// A change that one more verdict has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is healthy: for the first time, or again.
    Up,
    /// It has failed several times in a row.
    Down {
        /// The last verdict, in words.
        why: String,
    },
}

/// Counts failures in a row: down after so many of them, up after one success.
#[derive(Debug, Clone)]
pub struct Streak {
    limit: NonZeroU32,
    failures: u32,
    /// Not known before the first turn.
    up: Option<bool>,
}

impl Streak {
    /// Neither up nor down yet; down after `limit` failures in a row.
    #[must_use]
    pub fn new(limit: NonZeroU32) -> Self {
        Self { limit, failures: 0, up: None }
    }

    /// Takes in a verdict; the turn it brings, if it brings one.
    pub fn note(&mut self, verdict: &Verdict) -> Option<Turn> {
        match verdict {
            Verdict::Healthy { .. } => {
                self.failures = 0;
                (self.up.replace(true) != Some(true)).then_some(Turn::Up)
            }
            Verdict::Unhealthy { why } => {
                self.failures = self.failures.saturating_add(1);
                if self.failures < self.limit.get() {
                    return None;
                }
                let turned = self.up.replace(false) != Some(false);
                turned.then(|| Turn::Down { why: why.clone() })
            }
        }
    }

    /// Whether it is up, by the last turn; `None` before the first one.
    #[must_use]
    pub fn is_up(&self) -> Option<bool> {
        self.up
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Verdicts as `+` and `-`; turns as `U` and `D`, none as `.`.
    fn turns(limit: u32, verdicts: &str) -> String {
        let mut streak = Streak::new(NonZeroU32::new(limit).unwrap());
        let turn = |verdict| {
            let verdict = match verdict {
                '+' => Verdict::Healthy { latency: Duration::ZERO },
                _ => Verdict::Unhealthy { why: "no".to_owned() },
            };
            match streak.note(&verdict) {
                Some(Turn::Up) => 'U',
                Some(Turn::Down { why }) if why == "no" => 'D',
                Some(Turn::Down { .. }) => '?',
                None => '.',
            }
        };
        verdicts.chars().map(turn).collect()
    }

    #[test]
    fn only_failures_in_a_row_are_an_outage_and_one_success_ends_it() {
        for (limit, verdicts, wanted) in [
            (3, "+++", "U.."),
            (3, "---", "..D"),
            (3, "+--+--+---", "U........D"),
            (3, "+----+---", "U..D.U..D"),
            (1, "+-+-", "UDUD"),
            (2, "-+--+", ".U.DU"),
        ] {
            assert_eq!(turns(limit, verdicts), wanted, "{limit} {verdicts}");
        }
    }

    #[test]
    fn a_streak_knows_nothing_before_its_first_turn() {
        let mut streak = Streak::new(NonZeroU32::MIN.saturating_add(1));
        assert_eq!(streak.is_up(), None);
        streak.note(&Verdict::Unhealthy { why: "no".to_owned() });
        assert_eq!((streak.is_up(), streak.failures()), (None, 1));
        streak.note(&Verdict::Healthy { latency: Duration::ZERO });
        assert_eq!((streak.is_up(), streak.failures()), (Some(true), 0));
    }
}
