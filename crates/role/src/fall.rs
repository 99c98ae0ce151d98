//! Falling: the lease is gone, so the backend goes first, on its own deadline, without waiting
//! for NATS. What it wrote last is offered to the store afterwards; the fence decides.

use ccm_types::{Monotonic, Txid};

use crate::action::{Action, Campaign, Operation};
use crate::demote::{busy, captured};
use crate::event::{Event, Outcome};
use crate::machine::Machine;
use crate::state::{After, DemoteRung, FallRung, Falling, Lease, State, Wait};
use crate::vip::Vip;

impl Machine {
    /// Ends the leadership of `state` at once. `release` when the election may still hold the
    /// lease: it is given back when everything is over.
    pub(crate) fn fall(
        &mut self,
        now: Monotonic,
        state: State,
        reason: String,
        release: bool,
    ) -> State {
        let (lease, captured, busy, then, asked) = match state {
            State::Primary(p) => (p.lease, true, false, After::Follow, Vec::new()),
            State::Promoting(p) => {
                let (captured, busy) = (captured(&p), busy(&p));
                let planned = p.planned.map(|planned| (planned.then, planned.asked));
                let (then, asked) = planned.unwrap_or((After::Follow, Vec::new()));
                (p.lease, captured, busy, then, asked)
            }
            // Nothing runs and the bucket has everything: the lease was to go anyway.
            State::Demoting(d) if d.rung == DemoteRung::Release => return self.retire(d),
            State::Demoting(d) if d.rung != DemoteRung::Retire => {
                (d.lease, d.captured, d.busy, d.planned.then, d.planned.asked)
            }
            State::Starting(_)
            | State::Passive(_)
            | State::Demoting(_)
            | State::Falling(_)
            | State::Left
            | State::Hurrying { .. }
            | State::Stopped => return state,
        };
        // Whoever has superseded us does not wait for the rest of our lease.
        let gone_by = now.min(lease.valid_until) + self.config.stop;
        self.drop_vip();
        let kill = Wait::Op(self.run(Operation::KillBackend { gone_by }));
        self.campaign(Campaign::Off);
        self.problem = Some(reason.clone());
        State::Falling(Falling {
            rung: FallRung::Kill,
            wait: kill,
            killed: false,
            captured,
            busy,
            at: None,
            release,
            reason: format!("fell from epoch {}: {reason}", lease.epoch),
            then,
            asked,
        })
    }

    pub(crate) fn falling(&mut self, now: Monotonic, mut f: Falling, event: Event) -> State {
        match event {
            Event::Done { op, outcome } if f.wait == Wait::Op(op) => self.fallen(now, f, outcome),
            Event::Tick => match f.wait {
                Wait::Until(at) if now >= at => self.kill_again(now, f),
                Wait::Until(_) | Wait::Op(_) => State::Falling(f),
            },
            Event::LeaseWon { epoch, valid_until, released } => {
                f.release = false;
                self.pending = Some(Lease { epoch, valid_until, released });
                State::Falling(f)
            }
            Event::LeaseLost(_) | Event::LeaseReleased => {
                f.release = false;
                State::Falling(f)
            }
            Event::Start { .. }
            | Event::LeaseRenewed { .. }
            | Event::LeaderSeen(_)
            | Event::Done { .. }
            | Event::BackendExited { .. }
            | Event::BackendHealthy
            | Event::BackendUnhealthy { .. }
            | Event::CaptureEnded { .. }
            | Event::Command { .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => State::Falling(f),
        }
    }

    fn kill_again(&mut self, now: Monotonic, mut f: Falling) -> State {
        let gone_by = now + self.config.stop;
        f.wait = Wait::Op(self.run(Operation::KillBackend { gone_by }));
        State::Falling(f)
    }

    fn fallen(&mut self, now: Monotonic, mut f: Falling, outcome: Outcome) -> State {
        match (f.rung, outcome) {
            (FallRung::Kill, Outcome::Transient(why) | Outcome::Permanent(why)) => {
                self.problem = Some(format!("the backend is not seen gone: {why}"));
                f.wait = Wait::Until(now + self.config.retry);
                State::Falling(f)
            }
            (
                FallRung::Kill,
                Outcome::Ok | Outcome::At(_) | Outcome::Compared(_) | Outcome::Fenced,
            ) => {
                f.killed = true;
                if self.vip == Vip::Off { self.after_kill(f) } else { State::Falling(f) }
            }
            (FallRung::Flush, Outcome::At(at)) => {
                f.at = Some(at);
                f.rung = FallRung::Retire;
                f.wait = Wait::Op(self.run(Operation::Retire { at }));
                State::Falling(f)
            }
            (
                FallRung::Flush,
                Outcome::Ok
                | Outcome::Compared(_)
                | Outcome::Transient(_)
                | Outcome::Permanent(_)
                | Outcome::Fenced,
            ) => {
                f.rung = FallRung::Abandon;
                f.wait = Wait::Op(self.run(Operation::AbandonCapture));
                State::Falling(f)
            }
            (FallRung::Abandon | FallRung::Retire, _) => self.landed(f),
        }
    }

    /// Nothing of the backend is left, and the virtual IP is gone.
    pub(crate) fn after_kill(&mut self, mut f: Falling) -> State {
        self.disarm();
        if !f.captured && !f.busy {
            return self.landed(f);
        }
        if !f.captured {
            // Done when everything that was asked for before is.
            f.rung = FallRung::Abandon;
            f.wait = Wait::Op(self.run(Operation::AbandonCapture));
            return State::Falling(f);
        }
        f.rung = FallRung::Flush;
        f.wait = Wait::Op(self.run(Operation::Flush));
        State::Falling(f)
    }

    fn landed(&mut self, f: Falling) -> State {
        if f.release {
            let txid = f.at.map_or(Txid::ZERO, |at| at.txid);
            self.emit(Action::Release { txid, successor: None });
        }
        let lost = Err(format!("the leadership ended before that was done: {}", f.reason));
        self.answer_all(f.asked, &lost);
        self.end_leadership(f.then, f.reason)
    }
}
