//! What follows from what is seen: pure rules, with the time as an argument.

use std::time::{Duration, Instant};

use crate::{LinkState, VipEvent};

/// Between two tries to put an address back, also when the last one worked: something that takes
/// the address off as fast as it is put back shall not keep the host busy.
pub(crate) const PUT_BACK_PAUSE: Duration = Duration::from_millis(250);

/// Tries after which it is said that the address cannot be put back.
pub(crate) const PUT_BACK_TRIES: u32 = 8;

/// A look without news, should some be lost; also the pause between tries after
/// [`PUT_BACK_TRIES`].
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// The address is to be there.
    pub(crate) wanted: bool,
    /// The address is there.
    pub(crate) held: bool,
    pub(crate) link: LinkState,
    /// The name that the interface has instead of its own.
    pub(crate) renamed_to: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell everyone who listens.
    Tell(VipEvent),
    /// Add the address, and say how that went.
    PutBack,
    /// Announce from the beginning.
    Announce,
}

/// Remembers what was seen last, and how putting back went.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    last: Option<View>,
    /// It was said that the address is lost.
    lost: bool,
    tries: u32,
    not_before: Option<Instant>,
}

impl Keeper {
    /// What follows from `view`. The first one is how things are, not a change.
    pub(crate) fn see(&mut self, now: Instant, view: View) -> Vec<Step> {
        let mut steps = Vec::new();
        let last = self.last.replace(view.clone());
        let link_changed = last.as_ref().is_some_and(|last| last.link != view.link);
        if let Some(last) = &last {
            if link_changed {
                steps.push(Step::Tell(VipEvent::Link(view.link)));
                // What kept it from being put back may be over.
                (self.tries, self.not_before) = (0, None);
            }
            if last.renamed_to != view.renamed_to {
                steps
                    .extend(view.renamed_to.clone().map(|to| Step::Tell(VipEvent::Renamed { to })));
            }
        }
        match (view.wanted, view.held) {
            (true, true) => {
                if std::mem::take(&mut self.lost) {
                    self.tries = 0;
                    steps.extend([Step::Tell(VipEvent::Back), Step::Announce]);
                } else if link_changed && view.link == LinkState::Up {
                    steps.push(Step::Announce);
                }
            }
            (true, false) => {
                if !std::mem::replace(&mut self.lost, true) {
                    steps.push(Step::Tell(VipEvent::Lost));
                }
                let due = self.not_before.is_none_or(|at| at <= now);
                if due && view.link != LinkState::Missing {
                    steps.push(Step::PutBack);
                }
            }
            (false, held) => {
                (self.lost, self.tries, self.not_before) = (false, 0, None);
                if held && last.is_some_and(|last| !last.held) {
                    steps.push(Step::Tell(VipEvent::Unwanted));
                }
            }
        }
        steps
    }

    /// What follows from a try to put the address back.
    pub(crate) fn tried(&mut self, now: Instant, outcome: Result<(), String>) -> Vec<Step> {
        self.tries = self.tries.saturating_add(1);
        let mut pause = PUT_BACK_PAUSE;
        let mut steps = Vec::new();
        if let Err(problem) = outcome
            && self.tries >= PUT_BACK_TRIES
        {
            pause = LOOK_EVERY;
            if self.tries == PUT_BACK_TRIES {
                steps.push(Step::Tell(VipEvent::NotPutBack { problem }));
            }
        }
        self.not_before = Some(now + pause);
        steps
    }

    /// When to look again without news.
    pub(crate) fn look_at(&self, now: Instant) -> Instant {
        let slow = now + LOOK_EVERY;
        match self.not_before {
            Some(at) if self.lost && at > now => at.min(slow),
            Some(_) | None => slow,
        }
    }
}

#[cfg(test)]
mod tests;
