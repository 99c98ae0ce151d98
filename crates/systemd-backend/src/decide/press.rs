//! How a unit is brought to its end: asked first, then killed, again and again.

use std::time::Duration;

/// Between two looks at a unit that is ending.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Between two kills: a process that was just started is hit by the next one.
const KILL_EVERY: Duration = Duration::from_millis(100);

/// How long a unit may take to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the stop job to SIGKILL; no more than `within`.
    pub grace: Duration,
    /// Until nothing of it may be left.
    pub within: Duration,
}

impl Patience {
    /// It is asked, and never killed.
    #[must_use]
    pub fn asking(within: Duration) -> Self {
        Self { grace: within, within }
    }

    /// It is killed at once.
    #[must_use]
    pub fn killing(within: Duration) -> Self {
        Self { grace: Duration::ZERO, within }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pressed {
    /// Since it began.
    pub(crate) elapsed: Duration,
    /// A stop job was queued and has not ended in vain.
    pub(crate) asked: bool,
    /// Nothing is left; `None` when nobody can say.
    pub(crate) gone: Option<bool>,
    /// When it was killed last.
    pub(crate) killed: Option<Duration>,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Press {
    /// Nothing: nothing is left.
    Done,
    /// Queue a stop job: while it is there, `Restart=` starts nothing.
    Ask,
    /// SIGKILL to everything in the cgroup, through systemd.
    Kill,
    /// The same without systemd, which does not answer.
    KillDirectly,
    /// Look again after this.
    Wait(Duration),
    /// It has had its time.
    GiveUp,
}

impl Patience {
    pub(crate) fn next(self, pressed: Pressed) -> Press {
        let Pressed { elapsed, asked, gone, killed } = pressed;
        if gone == Some(true) {
            return Press::Done;
        }
        if elapsed >= self.within {
            return Press::GiveUp;
        }
        // The job comes first also in a hurry, but does not wait for a systemd that is away.
        if !asked && gone.is_some() {
            return Press::Ask;
        }
        let again = killed.map_or(self.grace, |at| at + KILL_EVERY);
        if elapsed >= self.grace && elapsed >= again {
            return if gone.is_some() { Press::Kill } else { Press::KillDirectly };
        }
        if !asked {
            return Press::Ask;
        }
        let until = self.within.min(again.max(self.grace));
        Press::Wait(LOOK_EVERY.min(until.saturating_sub(elapsed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u32) -> Pressed {
        Pressed { elapsed: ms * MS, asked: true, gone: Some(false), killed: None }
    }

    #[test]
    fn a_unit_is_asked_then_killed_again_and_again_then_given_up() {
        let patience = Patience { grace: 1000 * MS, within: 3000 * MS };
        let unasked = Pressed { asked: false, ..at(0) };
        let late = Pressed { asked: false, ..at(1500) };
        let killed = |ms: u32, at_ms: u32| Pressed { killed: Some(at_ms * MS), ..at(ms) };
        let table = [
            (unasked, Press::Ask),
            (at(0), Press::Wait(20 * MS)),
            (at(990), Press::Wait(10 * MS)),
            (at(1000), Press::Kill),
            (late, Press::Ask),
            (killed(1001, 1000), Press::Wait(20 * MS)),
            (killed(1090, 1000), Press::Wait(10 * MS)),
            (killed(1100, 1000), Press::Kill),
            (killed(2995, 2990), Press::Wait(5 * MS)),
            (killed(3000, 2990), Press::GiveUp),
            (at(3000), Press::GiveUp),
        ];
        for (pressed, expected) in table {
            assert_eq!(patience.next(pressed), expected, "{pressed:?}");
        }
    }

    #[test]
    fn nothing_is_done_to_a_unit_that_is_gone_however_late() {
        for ms in [0, 500, 1000, 5000] {
            let gone = Pressed { gone: Some(true), asked: false, ..at(ms) };
            assert_eq!(Patience::killing(1000 * MS).next(gone), Press::Done);
        }
    }

    #[test]
    fn a_systemd_that_is_away_is_asked_until_the_grace_is_over_and_then_done_without() {
        let patience = Patience { grace: 1000 * MS, within: 3000 * MS };
        let away = |ms| Pressed { gone: None, asked: false, ..at(ms) };
        assert_eq!(patience.next(away(0)), Press::Ask);
        assert_eq!(patience.next(away(999)), Press::Ask);
        assert_eq!(patience.next(away(1000)), Press::KillDirectly);
        let killed = |ms| Pressed { killed: Some(1000 * MS), ..away(ms) };
        // In between it is tried whether it is back.
        assert_eq!(patience.next(killed(1050)), Press::Ask);
        assert_eq!(patience.next(killed(1100)), Press::KillDirectly);
        assert_eq!(patience.next(killed(3000)), Press::GiveUp);
    }

    #[test]
    fn who_only_asks_never_kills_and_who_kills_has_asked() {
        for ms in 0..=1000 {
            let next = Patience::asking(1000 * MS).next(at(ms));
            assert!(!matches!(next, Press::Kill | Press::KillDirectly), "{ms}: {next:?}");
        }
        let unasked = Pressed { asked: false, ..at(0) };
        assert_eq!(Patience::killing(1000 * MS).next(unasked), Press::Ask);
        assert_eq!(Patience::killing(1000 * MS).next(at(0)), Press::Kill);
    }
}
