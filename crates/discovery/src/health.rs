//! How a service is: by the role of its node and by what probes find. Pure.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It can be used.
    Passing,
    /// It waits for its node to become primary.
    Standby,
    /// It should be usable and is not.
    Critical,
}

impl Health {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Passing, Self::Standby, Self::Critical];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Standby => "standby",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Health {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|health| health.as_str() == text);
        found.ok_or_else(|| format!("use one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// What probes have found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// Nobody probes it.
    Not,
    /// No probe has ended yet.
    Unknown,
    /// It answers as it should.
    Up,
    /// It does not.
    Down,
}

/// The health of a service.
///
/// A service that follows the role is in use only on the node that serves as primary, and waits
/// everywhere else whatever a probe would find. `None` while a probe is needed to say it.
#[must_use]
pub fn of(follows_role: bool, serving: bool, probed: Probed) -> Option<Health> {
    if follows_role && !serving {
        return Some(Health::Standby);
    }
    match probed {
        Probed::Not | Probed::Up => Some(Health::Passing),
        Probed::Down => Some(Health::Critical),
        Probed::Unknown => None,
    }
}

/// From single answers to up and down: one lost answer is no outage, one good answer in an outage
/// is not its end. The first answer of all counts at once.
#[derive(Debug, Clone)]
pub struct Steady {
    failures: NonZeroU32,
    successes: NonZeroU32,
    up: Option<bool>,
    /// Answers in a row that say the opposite.
    against: u32,
}

impl Steady {
    /// Nothing known; down after `failures` bad answers in a row, up again after `successes` good
    /// ones.
    #[must_use]
    pub fn new(failures: NonZeroU32, successes: NonZeroU32) -> Self {
        Self { failures, successes, up: None, against: 0 }
    }

    /// Takes in an answer; whether it has turned.
    pub fn note(&mut self, good: bool) -> bool {
        if self.up == Some(good) {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = match self.up {
            None => 1,
            Some(true) => self.failures.get(),
            Some(false) => self.successes.get(),
        };
        if self.against < needed {
            return false;
        }
        self.up = Some(good);
        self.against = 0;
        true
    }

    /// What is known.
    #[must_use]
    pub fn probed(&self) -> Probed {
        match self.up {
            None => Probed::Unknown,
            Some(true) => Probed::Up,
            Some(false) => Probed::Down,
        }
    }

    /// Forgets what was found.
    pub fn forget(&mut self) {
        self.up = None;
        self.against = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_and_probe_make_the_health() {
        use Probed::{Down, Not, Unknown, Up};
        let (passing, standby, critical) =
            (Some(Health::Passing), Some(Health::Standby), Some(Health::Critical));
        let table = [
            // The matrix of the seed: `http` on a PRIMARY and a PASSIVE, `metrics` and `syslog`.
            ((true, true, Not), passing),
            ((true, false, Not), standby),
            ((false, true, Not), passing),
            ((false, false, Not), passing),
            // With probes.
            ((true, true, Up), passing),
            ((true, true, Down), critical),
            ((true, true, Unknown), None),
            ((true, false, Up), standby),
            ((true, false, Down), standby),
            ((true, false, Unknown), standby),
            ((false, false, Up), passing),
            ((false, false, Down), critical),
            ((false, true, Unknown), None),
        ];
        for ((follows, serving, probed), expected) in table {
            assert_eq!(of(follows, serving, probed), expected, "{follows} {serving} {probed:?}");
        }
    }

    /// Answers as `+` and `-`, what is known after each as `U` and `D`.
    fn known(failures: u32, successes: u32, answers: &str) -> String {
        let number = |n| NonZeroU32::new(n).unwrap();
        let mut steady = Steady::new(number(failures), number(successes));
        let after = |answer| {
            let before = steady.probed();
            let turned = steady.note(answer == '+');
            assert_eq!(turned, before != steady.probed());
            match steady.probed() {
                Probed::Up => 'U',
                Probed::Down => 'D',
                Probed::Not | Probed::Unknown => '?',
            }
        };
        answers.chars().map(after).collect()
    }

    #[test]
    fn only_answers_in_a_row_turn_it_and_the_first_counts_at_once() {
        for (failures, successes, answers, expected) in [
            (3, 2, "+--+--+---", "UUUUUUUUUD"),
            (3, 2, "-+-++-", "DDDDUU"),
            (1, 1, "+-+-", "UDUD"),
            (2, 3, "+--+++", "UUDDDU"),
        ] {
            assert_eq!(known(failures, successes, answers), expected, "{answers}");
        }
    }

    #[test]
    fn a_service_that_begins_again_begins_without_a_past() {
        let mut steady = Steady::new(NonZeroU32::MIN, NonZeroU32::MIN);
        assert_eq!(steady.probed(), Probed::Unknown);
        assert!(steady.note(false));
        steady.forget();
        assert_eq!(steady.probed(), Probed::Unknown);
    }
}
