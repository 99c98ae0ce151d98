//! The virtual IP: taken when the backend is about to start, given up before anything else.
//!
//! It is a resource of its own beside the ladders. Going up nothing waits for it; going down the
//! lease is neither released nor are files touched before the kernel no longer has the address.

use ccm_types::Monotonic;

use crate::action::Operation;
use crate::event::{Event, Outcome};
use crate::machine::Machine;
use crate::state::{DemoteRung, FallRung, Lease, State, Wait};

/// How a problem begins that a later success ends.
const NOT_TAKEN: &str = "the virtual IP could not be taken";
/// The same.
const NOT_GONE: &str = "the virtual IP is not gone";

/// Where the virtual IP is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vip {
    /// Not on this host.
    Off,
    /// Being taken.
    Raising(Wait),
    /// On this host.
    On,
    /// Being given up.
    Dropping(Wait),
}

impl Vip {
    pub(crate) fn wait(self) -> Option<Wait> {
        match self {
            Self::Raising(wait) | Self::Dropping(wait) => Some(wait),
            Self::Off | Self::On => None,
        }
    }
}

impl Machine {
    /// Takes the address under this lease, unless that is done or under way.
    pub(crate) fn raise_vip(&mut self, lease: Lease) {
        match self.vip {
            Vip::Off | Vip::Dropping(_) if self.config.vip => self.take_vip(lease),
            Vip::Off | Vip::Dropping(_) | Vip::Raising(_) | Vip::On => {}
        }
    }

    fn take_vip(&mut self, lease: Lease) {
        let acquire = Operation::AcquireVip {
            until: lease.valid_until,
            handed_over: lease.released.is_some(),
        };
        self.vip = Vip::Raising(Wait::Op(self.run(acquire)));
    }

    /// Gives the address up, if it may be here.
    pub(crate) fn drop_vip(&mut self) {
        match self.vip {
            Vip::Raising(_) | Vip::On => self.clear_vip(),
            Vip::Off | Vip::Dropping(_) => {}
        }
    }

    /// Gives the address up, wherever it comes from.
    pub(crate) fn clear_vip(&mut self) {
        if self.config.vip {
            self.vip = Vip::Dropping(Wait::Op(self.run(Operation::ReleaseVip)));
        }
    }

    /// What an event means for the address.
    pub(crate) fn note_vip(&mut self, now: Monotonic, event: &Event) {
        match (event, self.vip) {
            (Event::Done { op, outcome }, Vip::Raising(Wait::Op(mine))) if *op == mine => {
                self.vip = match failure(outcome) {
                    None => {
                        self.problem.take_if(|problem| problem.starts_with(NOT_TAKEN));
                        Vip::On
                    }
                    Some(why) => {
                        self.problem = Some(format!("{NOT_TAKEN}: {why}"));
                        Vip::Raising(Wait::Until(now + self.config.retry))
                    }
                };
            }
            (Event::Done { op, outcome }, Vip::Dropping(Wait::Op(mine))) if *op == mine => {
                self.vip = match failure(outcome) {
                    None => {
                        self.problem.take_if(|problem| problem.starts_with(NOT_GONE));
                        Vip::Off
                    }
                    Some(why) => {
                        self.problem = Some(format!("{NOT_GONE}: {why}"));
                        Vip::Dropping(Wait::Until(now + self.config.retry))
                    }
                };
                if self.vip == Vip::Off {
                    self.change(|machine, state| machine.vip_gone(now, state));
                }
            }
            (Event::Tick, Vip::Raising(Wait::Until(at))) if now >= at => {
                if let Some(lease) = self.state.lease() {
                    self.take_vip(lease);
                }
            }
            (Event::Tick, Vip::Dropping(Wait::Until(at))) if now >= at => self.clear_vip(),
            (_, Vip::Off | Vip::On | Vip::Raising(_) | Vip::Dropping(_)) => {}
        }
    }

    /// Goes on with what has waited for the address only.
    fn vip_gone(&mut self, now: Monotonic, state: State) -> State {
        match state {
            State::Starting(s) if s.stopped => self.started(s),
            State::Demoting(d) if d.rung == DemoteRung::StopBackend && d.stopped => {
                self.after_stop(d)
            }
            State::Falling(f) if f.rung == FallRung::Kill && f.killed => self.after_kill(f),
            State::Hurrying { killed: true, until, kill } => self.hurried(now, kill, until, true),
            State::Starting(_)
            | State::Passive(_)
            | State::Promoting(_)
            | State::Primary(_)
            | State::Demoting(_)
            | State::Falling(_)
            | State::Left
            | State::Hurrying { .. }
            | State::Stopped => state,
        }
    }
}

/// Why an operation has failed, in words.
fn failure(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Transient(why) | Outcome::Permanent(why) => Some(why),
        Outcome::Ok | Outcome::At(_) | Outcome::Compared(_) | Outcome::Fenced => None,
    }
}
