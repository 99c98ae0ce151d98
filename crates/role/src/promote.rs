//! The promote ladder: fence, compare, catch up, place, capture, backend. One rung at a time.

use ccm_types::{Monotonic, Txid};

use crate::action::{Action, Operation};
use crate::event::{Event, Outcome, Verdict};
use crate::machine::Machine;
use crate::state::{
    After, BackendLimit, Lease, Planned, Primary, PromoteRung, Promoting, Repair, State, Wait,
};

impl Machine {
    /// The lease was won by a node that follows.
    pub(crate) fn begin_promotion(&mut self, lease: Lease) -> State {
        self.emit(Action::StopFollowing);
        self.climb(Promoting {
            lease,
            rung: PromoteRung::MoveFence,
            wait: None,
            verdict: None,
            adopted: false,
            backend: BackendLimit::default(),
            planned: None,
        })
    }

    /// A backend runs already under `lease`, which an earlier daemon of this node held.
    pub(crate) fn begin_adoption(&mut self, lease: Lease) -> State {
        self.emit(Action::AdoptLease { epoch: lease.epoch });
        self.arm(lease);
        self.raise_vip(lease);
        State::Promoting(Promoting {
            lease,
            rung: PromoteRung::Adopt,
            wait: None,
            verdict: None,
            adopted: true,
            backend: BackendLimit::default(),
            planned: None,
        })
    }

    /// Starts the operation of the present rung.
    fn climb(&mut self, mut p: Promoting) -> State {
        let epoch = p.lease.epoch;
        let verdict = p.verdict.unwrap_or(Verdict::Keep);
        let operation = match p.rung {
            PromoteRung::Adopt => return State::Promoting(p),
            PromoteRung::MoveFence => Operation::MoveFence { epoch },
            PromoteRung::Compare => Operation::Compare,
            PromoteRung::CatchUp => Operation::CatchUp,
            PromoteRung::Place => Operation::Place { verdict, epoch },
            PromoteRung::StartCapture => Operation::StartCapture { epoch },
            PromoteRung::ResetBackend => Operation::StopBackend,
            PromoteRung::StartBackend => {
                self.arm(p.lease);
                self.raise_vip(p.lease);
                Operation::StartBackend
            }
        };
        p.wait = Some(Wait::Op(self.run(operation)));
        State::Promoting(p)
    }

    pub(crate) fn promoting(&mut self, now: Monotonic, mut p: Promoting, event: Event) -> State {
        match event {
            Event::LeaseWon { epoch, valid_until, released } if p.rung == PromoteRung::Adopt => {
                if epoch != p.lease.epoch {
                    self.pending = Some(Lease { epoch, valid_until, released });
                    let why = format!("epoch {epoch} was won instead of adopting the lease");
                    return self.fall(now, State::Promoting(p), why, false);
                }
                p.lease.valid_until = p.lease.valid_until.max(valid_until);
                self.arm(p.lease);
                p.rung = PromoteRung::MoveFence;
                self.climb(p)
            }
            Event::LeaseRenewed { valid_until } => {
                p.lease.valid_until = p.lease.valid_until.max(valid_until);
                if self.armed {
                    self.arm(p.lease);
                }
                State::Promoting(p)
            }
            Event::LeaseLost(reason) => {
                let why = format!("the lease was lost while promoting: {reason:?}");
                self.fall(now, State::Promoting(p), why, false)
            }
            Event::Tick => match p.wait {
                Some(Wait::Until(at)) if now >= at => self.climb(p),
                Some(Wait::Until(_) | Wait::Op(_)) | None => State::Promoting(p),
            },
            Event::Done { op, outcome } if p.wait == Some(Wait::Op(op)) => {
                self.rung_done(now, p, outcome)
            }
            Event::BackendExited { .. } => {
                // A start reports its own failure.
                p.adopted = false;
                State::Promoting(p)
            }
            Event::CaptureEnded { fenced: true, why } => {
                self.fall(now, State::Promoting(p), why, true)
            }
            Event::CaptureEnded { fenced: false, why } => {
                self.give_up(p, format!("capture ended: {why}"))
            }
            Event::Start { .. }
            | Event::LeaseWon { .. }
            | Event::LeaseReleased
            | Event::LeaderSeen(_)
            | Event::Done { .. }
            | Event::BackendHealthy
            | Event::BackendUnhealthy { .. }
            | Event::Command { .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => State::Promoting(p),
        }
    }

    fn rung_done(&mut self, now: Monotonic, mut p: Promoting, outcome: Outcome) -> State {
        match outcome {
            Outcome::Fenced => {
                let why = String::from("the store refuses this epoch: a newer primary is there");
                self.fall(now, State::Promoting(p), why, true)
            }
            Outcome::Transient(why) | Outcome::Permanent(why)
                if p.rung == PromoteRung::StartBackend =>
            {
                self.problem = Some(format!("the backend does not start: {why}"));
                if !self.may_restart(now, &mut p.backend) {
                    return self.give_up(p, format!("the backend does not start: {why}"));
                }
                p.rung = PromoteRung::ResetBackend;
                self.climb(p)
            }
            Outcome::Transient(why) => {
                self.problem = Some(why);
                p.wait = Some(Wait::Until(now + self.config.retry));
                State::Promoting(p)
            }
            Outcome::Permanent(why) => self.give_up(p, why),
            Outcome::Compared(verdict) => {
                if verdict == Verdict::Create
                    && let Some(why) = self.falls_short(p.lease, Txid::ZERO)
                {
                    return self.give_up(p, why);
                }
                p.verdict = Some(verdict);
                p.rung = match verdict {
                    Verdict::Swap => PromoteRung::CatchUp,
                    Verdict::Keep | Verdict::Create => PromoteRung::Place,
                };
                self.climb(p)
            }
            Outcome::At(at) => match self.falls_short(p.lease, at.txid) {
                Some(why) => self.give_up(p, why),
                None => self.next_rung(p),
            },
            Outcome::Ok => self.next_rung(p),
        }
    }

    fn next_rung(&mut self, mut p: Promoting) -> State {
        p.rung = match p.rung {
            PromoteRung::Adopt => PromoteRung::MoveFence,
            PromoteRung::MoveFence if p.adopted => PromoteRung::StartCapture,
            PromoteRung::MoveFence => PromoteRung::Compare,
            PromoteRung::Compare | PromoteRung::CatchUp => PromoteRung::Place,
            PromoteRung::StartCapture if p.adopted => return self.serve(p, "adopted the backend"),
            PromoteRung::Place => PromoteRung::StartCapture,
            PromoteRung::StartCapture | PromoteRung::ResetBackend => PromoteRung::StartBackend,
            PromoteRung::StartBackend => return self.serve(p, "the backend serves"),
        };
        self.climb(p)
    }

    fn serve(&mut self, p: Promoting, reason: &str) -> State {
        self.problem = None;
        self.short_of = Txid::ZERO;
        let primary = Primary {
            lease: p.lease,
            repair: Repair::None,
            backend: p.backend,
            capture: None,
            captures: BackendLimit::default(),
        };
        // Seen by `Announce`, which reads the status.
        self.announce(format!("primary of epoch {}: {reason}", p.lease.epoch));
        match p.planned {
            Some(planned) => self.demote(State::Primary(primary), planned),
            None => State::Primary(primary),
        }
    }

    /// The ladder cannot be climbed: back down, and others may try.
    fn give_up(&mut self, p: Promoting, why: String) -> State {
        self.problem = Some(why.clone());
        let planned = p.planned.clone().unwrap_or(Planned {
            reason: why,
            successor: None,
            then: After::Rest,
            asked: Vec::new(),
        });
        self.demote(State::Promoting(p), planned)
    }
}
