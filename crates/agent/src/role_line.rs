//! One line in the log for a change of role: from what, to what, how long it took. Pure.

use std::time::Duration;

use ccm_role::{Phase, Status};
use ccm_types::{Epoch, Monotonic, RoleName};

/// Sees every phase and what is announced.
#[derive(Debug)]
pub(crate) struct RoleLine {
    phase: Phase,
    /// When the change that is under way began, or the last one.
    began: Monotonic,
    /// What was said last: the role, and the last epoch that was led until then.
    said: Option<(RoleName, Option<Epoch>)>,
    /// The last epoch that this node has led.
    led: Option<Epoch>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) role: RoleName,
    /// The epoch that is led, or was led until now.
    pub(crate) epoch: Option<Epoch>,
    /// Since it began.
    pub(crate) took: Duration,
    /// Another role, or the same after another epoch: a leadership that was given up on the way.
    pub(crate) is_new: bool,
}

impl RoleLine {
    pub(crate) fn new(now: Monotonic) -> Self {
        Self { phase: Phase::Starting, began: now, said: None, led: None }
    }

    /// Whenever the machine has decided, before it is acted upon.
    pub(crate) fn see(&mut self, status: &Status, now: Monotonic) {
        if status.phase != self.phase && rests(self.phase) {
            self.began = now;
        }
        self.phase = status.phase;
        self.led = status.epoch.or(self.led);
    }

    /// The line for what is announced.
    pub(crate) fn announce(&mut self, status: &Status, now: Monotonic) -> Line {
        let (role, epoch) = (status.role, self.led);
        let is_new = self.said.replace((role, epoch)) != Some((role, epoch));
        Line { role, epoch, took: now.since(self.began), is_new }
    }
}

/// Whether the node stays in this phase until something happens.
fn rests(phase: Phase) -> bool {
    match phase {
        Phase::Passive | Phase::Primary | Phase::Left => true,
        Phase::Starting | Phase::Promoting | Phase::Demoting | Phase::Falling | Phase::Stopped => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: Phase, epoch: Option<u64>) -> Status {
        let role = if epoch.is_some() { RoleName::Primary } else { RoleName::Passive };
        Status { role, phase, epoch: epoch.map(Epoch::new), leader: None, problem: None }
    }

    #[test]
    fn a_line_says_how_long_the_change_took_and_whether_there_was_one() {
        let at = Monotonic::from_millis;
        let mut line = RoleLine::new(at(0));
        let mut step = |phase, epoch, now, announced: bool| {
            let status = status(phase, epoch);
            line.see(&status, at(now));
            announced.then(|| {
                let Line { role, epoch, took, is_new } = line.announce(&status, at(now));
                (role.to_string(), epoch.map(Epoch::get), took.as_millis(), is_new)
            })
        };
        let said =
            |role: &str, epoch, took, is_new| Some((String::from(role), epoch, took, is_new));
        assert_eq!(step(Phase::Passive, None, 40, true), said("PASSIVE", None, 40, true));
        assert_eq!(step(Phase::Promoting, Some(3), 1000, false), None);
        assert_eq!(step(Phase::Primary, Some(3), 1700, true), said("PRIMARY", Some(3), 700, true));
        // The backend was restarted.
        let same = step(Phase::Primary, Some(3), 9000, true).unwrap();
        assert!(!same.3);
        assert_eq!(step(Phase::Demoting, Some(3), 9100, false), None);
        assert_eq!(step(Phase::Demoting, None, 9300, false), None);
        assert_eq!(step(Phase::Passive, None, 9400, true), said("PASSIVE", Some(3), 300, true));
        // A leadership that was given up before it served.
        assert_eq!(step(Phase::Promoting, Some(4), 9500, false), None);
        assert_eq!(step(Phase::Passive, None, 9600, true), said("PASSIVE", Some(4), 100, true));
    }
}
