//! A leadership on its way up. Pure.

use std::time::Duration;

use ccm_election::Win;
use ccm_history::{Phase, Phases, Takeover, What};
use ccm_role::Outcome;
use ccm_types::{Epoch, Monotonic};
use jiff::Timestamp;

use super::Moment;

/// A lease that was won, until its backend serves.
#[derive(Debug)]
pub(super) struct Climb {
    epoch: Epoch,
    win: Option<Win>,
    won: Monotonic,
    phases: Phases,
    served: Option<Moment>,
    /// The virtual IP is being taken.
    vip: bool,
}

impl Climb {
    /// `win` is how the last lease was won, which may be another one.
    pub(super) fn new(epoch: Epoch, win: Option<&Win>, won: Monotonic) -> Self {
        let win = win.filter(|win| win.epoch == epoch).cloned();
        let mut phases = Phases::default();
        if let Some(win) = &win {
            if win.before.is_some() {
                phases.add(Phase::Detection, win.claimed.since(win.last_sign));
            }
            phases.add(Phase::Lease, won.since(win.claimed));
        }
        Self { epoch, win, won, phases, served: None, vip: false }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn takes_vip(&mut self) {
        self.vip = true;
    }

    pub(super) fn done(&mut self, part: Phase, took: Duration, outcome: &Outcome) {
        // One that has failed is tried again, beside everything else: nothing waits for it.
        let failed = matches!(outcome, Outcome::Transient(_) | Outcome::Permanent(_));
        if part == Phase::VirtualIp {
            self.vip = false;
            if failed {
                return;
            }
        }
        self.phases.add(part, took);
    }

    /// The backend serves; the first time counts.
    pub(super) fn serves(&mut self, at: Moment) {
        self.served.get_or_insert(at);
    }

    pub(super) fn is_served(&self) -> bool {
        self.served.is_some()
    }

    pub(super) fn waits_for_vip(&self) -> bool {
        self.vip
    }

    pub(super) fn into_phases(self) -> Phases {
        self.phases
    }

    /// `None` for the first leadership of a cluster, which nobody had before.
    pub(super) fn into_takeover(self) -> Option<(Timestamp, Epoch, What)> {
        let served = self.served?;
        let win = self.win?;
        let before = win.before?;
        let total = served.now.since(win.last_sign.min(self.won));
        let takeover = Takeover { from: before.node, total, phases: self.phases };
        let what = if before.released { What::Taken(takeover) } else { What::Failover(takeover) };
        Some((served.wall, self.epoch, what))
    }
}
