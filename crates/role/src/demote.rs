//! The demote ladder: stop the backend, flush, release, retire the data file. The lease is
//! renewed until the release, so nobody else serves while something is on its way.

use ccm_types::{Monotonic, Txid};

use crate::action::{Action, Campaign, Operation};
use crate::event::{Event, Outcome};
use crate::machine::Machine;
use crate::state::{
    After, DemoteRung, Demoting, Lease, Planned, PromoteRung, Promoting, State, Wait,
};
use crate::vip::Vip;

impl Machine {
    /// Begins to give the leadership of `state` up.
    pub(crate) fn demote(&mut self, state: State, planned: Planned) -> State {
        let (lease, captured, running, busy) = match state {
            State::Primary(p) => (p.lease, true, true, false),
            State::Promoting(p) => (p.lease, captured(&p), running(&p), busy(&p)),
            State::Starting(_)
            | State::Passive(_)
            | State::Demoting(_)
            | State::Falling(_)
            | State::Left
            | State::Hurrying { .. }
            | State::Stopped => return state,
        };
        self.drop_vip();
        let mut d = Demoting {
            lease,
            rung: DemoteRung::StopBackend,
            wait: None,
            stopped: !running,
            captured,
            busy,
            at: None,
            planned,
        };
        if running {
            d.wait = Some(Wait::Op(self.run(Operation::StopBackend)));
            State::Demoting(d)
        } else {
            self.stopped(d)
        }
    }

    /// Nothing of the backend is left; the virtual IP may be.
    fn stopped(&mut self, mut d: Demoting) -> State {
        d.stopped = true;
        d.wait = None;
        if self.vip == Vip::Off { self.after_stop(d) } else { State::Demoting(d) }
    }

    pub(crate) fn demoting(&mut self, now: Monotonic, mut d: Demoting, event: Event) -> State {
        match event {
            Event::LeaseRenewed { valid_until } => {
                d.lease.valid_until = d.lease.valid_until.max(valid_until);
                if d.rung == DemoteRung::StopBackend && self.armed {
                    self.arm(d.lease);
                }
                State::Demoting(d)
            }
            Event::LeaseReleased if d.rung == DemoteRung::Release => self.retire(d),
            Event::LeaseLost(_) if d.rung == DemoteRung::Release => self.retire(d),
            Event::LeaseLost(reason) if d.rung != DemoteRung::Retire => {
                let why = format!("the lease was lost while demoting: {reason:?}");
                self.fall(now, State::Demoting(d), why, false)
            }
            Event::LeaseWon { epoch, valid_until, released } => {
                self.pending = Some(Lease { epoch, valid_until, released });
                State::Demoting(d)
            }
            Event::Tick => match d.wait {
                Some(Wait::Until(at)) if now >= at => self.descend(d),
                Some(Wait::Until(_) | Wait::Op(_)) | None => State::Demoting(d),
            },
            Event::Done { op, outcome } if d.wait == Some(Wait::Op(op)) => {
                self.step_done(now, d, outcome)
            }
            Event::Start { .. }
            | Event::LeaseReleased
            | Event::LeaseLost(_)
            | Event::LeaderSeen(_)
            | Event::Done { .. }
            | Event::BackendExited { .. }
            | Event::BackendHealthy
            | Event::BackendUnhealthy { .. }
            | Event::CaptureEnded { .. }
            | Event::Command { .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => State::Demoting(d),
        }
    }

    /// Tries the present rung again.
    fn descend(&mut self, mut d: Demoting) -> State {
        let operation = match d.rung {
            DemoteRung::StopBackend => Operation::StopBackend,
            DemoteRung::Flush => Operation::Flush,
            DemoteRung::Release => return State::Demoting(d),
            DemoteRung::Retire => match d.at {
                Some(at) => Operation::Retire { at },
                None => return self.rest(d),
            },
        };
        d.wait = Some(Wait::Op(self.run(operation)));
        State::Demoting(d)
    }

    fn step_done(&mut self, now: Monotonic, mut d: Demoting, outcome: Outcome) -> State {
        match (d.rung, outcome) {
            (DemoteRung::Release, _) => State::Demoting(d),
            (DemoteRung::StopBackend, Outcome::Ok | Outcome::At(_) | Outcome::Compared(_)) => {
                self.stopped(d)
            }
            (DemoteRung::Flush, Outcome::At(at)) => {
                d.at = Some(at);
                self.release(d)
            }
            (DemoteRung::StopBackend | DemoteRung::Flush, Outcome::Fenced) => {
                let why = String::from("the store refuses this epoch");
                self.fall(now, State::Demoting(d), why, true)
            }
            (DemoteRung::Flush, Outcome::Permanent(why)) => {
                // The data file keeps what could not be shipped and is settled later.
                self.problem = Some(format!("the final flush failed: {why}"));
                self.run(Operation::AbandonCapture);
                self.release(d)
            }
            (
                DemoteRung::StopBackend | DemoteRung::Flush,
                Outcome::Transient(why) | Outcome::Permanent(why),
            ) => {
                self.problem = Some(why);
                d.wait = Some(Wait::Until(now + self.config.retry));
                State::Demoting(d)
            }
            (DemoteRung::Flush, Outcome::Ok | Outcome::Compared(_)) => self.release(d),
            (DemoteRung::Retire, Outcome::Transient(why)) => {
                self.problem = Some(why);
                d.wait = Some(Wait::Until(now + self.config.retry));
                State::Demoting(d)
            }
            (DemoteRung::Retire, Outcome::Permanent(why)) => {
                self.problem = Some(format!("the data file did not become the replica: {why}"));
                self.rest(d)
            }
            (
                DemoteRung::Retire,
                Outcome::Ok | Outcome::At(_) | Outcome::Compared(_) | Outcome::Fenced,
            ) => self.rest(d),
        }
    }

    /// Nothing of the backend is left, and the virtual IP is gone.
    pub(crate) fn after_stop(&mut self, mut d: Demoting) -> State {
        self.disarm();
        if d.captured {
            d.rung = DemoteRung::Flush;
            self.descend(d)
        } else if d.busy {
            // Done when everything that was asked for before is.
            d.rung = DemoteRung::Flush;
            d.wait = Some(Wait::Op(self.run(Operation::AbandonCapture)));
            State::Demoting(d)
        } else {
            self.release(d)
        }
    }

    fn release(&mut self, mut d: Demoting) -> State {
        d.rung = DemoteRung::Release;
        d.wait = None;
        self.campaign(Campaign::Off);
        let txid = match d.at {
            Some(at) => at.txid,
            // What was written may be lost, and at which position nobody knows.
            None if d.captured => Txid::ZERO,
            None => d.lease.floor(),
        };
        self.emit(Action::Release { txid, successor: d.planned.successor.clone() });
        State::Demoting(d)
    }

    /// The lease is given away, or gone.
    pub(crate) fn retire(&mut self, mut d: Demoting) -> State {
        self.answer_all(std::mem::take(&mut d.planned.asked), &Ok(()));
        d.rung = DemoteRung::Retire;
        self.descend(d)
    }

    fn rest(&mut self, d: Demoting) -> State {
        let reason = format!("demoted from epoch {}: {}", d.lease.epoch, d.planned.reason);
        self.end_leadership(d.planned.then, reason)
    }

    /// What comes after a leadership, however it ended.
    pub(crate) fn end_leadership(&mut self, then: After, reason: String) -> State {
        match then {
            After::Exit => {
                self.announce(reason);
                self.emit(Action::Exit);
                State::Stopped
            }
            After::Leave => self.leave(),
            After::Follow | After::Rest => {
                self.announce(reason);
                // Seen on the way down, it is not told again.
                if then == After::Follow && self.another_leads() {
                    self.problem = None;
                }
                self.follow(then == After::Rest)
            }
        }
    }
}

/// Whether work on the files may be under way.
pub(crate) fn busy(p: &Promoting) -> bool {
    match p.wait {
        Some(Wait::Op(_)) => true,
        Some(Wait::Until(_)) | None => false,
    }
}

/// Whether something may have been written to the data file under capture.
pub(crate) fn captured(p: &Promoting) -> bool {
    match p.rung {
        PromoteRung::StartCapture | PromoteRung::ResetBackend | PromoteRung::StartBackend => true,
        PromoteRung::Adopt
        | PromoteRung::MoveFence
        | PromoteRung::Compare
        | PromoteRung::CatchUp
        | PromoteRung::Place => false,
    }
}

/// Whether a backend may be running.
pub(crate) fn running(p: &Promoting) -> bool {
    p.adopted
        || match p.rung {
            PromoteRung::ResetBackend | PromoteRung::StartBackend | PromoteRung::Adopt => true,
            PromoteRung::MoveFence
            | PromoteRung::Compare
            | PromoteRung::CatchUp
            | PromoteRung::Place
            | PromoteRung::StartCapture => false,
        }
}
