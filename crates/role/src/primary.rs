//! Serving: keep the backend and the capture running, or hand over.

use ccm_types::Monotonic;

use crate::action::Operation;
use crate::event::{Event, Outcome};
use crate::machine::Machine;
use crate::state::{After, Planned, Primary, Repair, State, Wait};

impl Machine {
    pub(crate) fn primary(&mut self, now: Monotonic, mut p: Primary, event: Event) -> State {
        match event {
            Event::LeaseRenewed { valid_until } => {
                p.lease.valid_until = p.lease.valid_until.max(valid_until);
                self.arm(p.lease);
                State::Primary(p)
            }
            Event::LeaseLost(reason) => {
                let why = format!("the lease of epoch {} was lost: {reason:?}", p.lease.epoch);
                self.fall(now, State::Primary(p), why, false)
            }
            Event::BackendExited { why } => {
                self.repair(now, p, format!("the backend ended: {why}"))
            }
            Event::BackendUnhealthy { why } => {
                self.repair(now, p, format!("the backend is not healthy: {why}"))
            }
            Event::BackendHealthy => {
                if p.repair == Repair::None {
                    self.problem = None;
                }
                State::Primary(p)
            }
            Event::CaptureEnded { fenced: true, why } => {
                self.fall(now, State::Primary(p), why, true)
            }
            Event::CaptureEnded { fenced: false, why } => self.recapture(now, p, why),
            Event::Done { op, outcome } => self.primary_done(now, p, Wait::Op(op), outcome),
            Event::Tick => self.primary_tick(now, p),
            Event::Start { .. }
            | Event::LeaseWon { .. }
            | Event::LeaseReleased
            | Event::LeaderSeen(_)
            | Event::Command { .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => State::Primary(p),
        }
    }

    fn primary_tick(&mut self, now: Monotonic, mut p: Primary) -> State {
        if let Repair::Stopping(Wait::Until(at)) = p.repair
            && now >= at
        {
            p.repair = Repair::Stopping(Wait::Op(self.run(Operation::StopBackend)));
        }
        if let Some(Wait::Until(at)) = p.capture
            && now >= at
        {
            let epoch = p.lease.epoch;
            p.capture = Some(Wait::Op(self.run(Operation::StartCapture { epoch })));
        }
        State::Primary(p)
    }

    /// Restarts the backend, or hands over when that happens too often.
    fn repair(&mut self, now: Monotonic, mut p: Primary, why: String) -> State {
        if p.repair != Repair::None {
            return State::Primary(p);
        }
        self.problem = Some(why.clone());
        if !self.may_restart(now, &mut p.backend) {
            return self.hand_over(p, why);
        }
        p.repair = Repair::Stopping(Wait::Op(self.run(Operation::StopBackend)));
        State::Primary(p)
    }

    /// Starts the capture again, or hands over when that happens too often.
    fn recapture(&mut self, now: Monotonic, mut p: Primary, why: String) -> State {
        let why = format!("capture ended: {why}");
        self.problem = Some(why.clone());
        if !self.may_restart(now, &mut p.captures) {
            return self.hand_over(p, why);
        }
        p.capture = Some(Wait::Until(now + self.config.retry));
        State::Primary(p)
    }

    fn primary_done(&mut self, now: Monotonic, p: Primary, wait: Wait, outcome: Outcome) -> State {
        if p.capture == Some(wait) {
            return self.capture_done(now, p, outcome);
        }
        match p.repair {
            Repair::Stopping(stopping) if stopping == wait => self.stop_done(now, p, outcome),
            Repair::Starting(op) if Wait::Op(op) == wait => self.start_done(now, p, outcome),
            Repair::None | Repair::Stopping(_) | Repair::Starting(_) => State::Primary(p),
        }
    }

    fn capture_done(&mut self, now: Monotonic, mut p: Primary, outcome: Outcome) -> State {
        p.capture = None;
        match outcome {
            Outcome::Ok | Outcome::At(_) | Outcome::Compared(_) => {
                if p.repair == Repair::None {
                    self.problem = None;
                }
                State::Primary(p)
            }
            Outcome::Fenced => {
                let why = String::from("the store refuses this epoch");
                self.fall(now, State::Primary(p), why, true)
            }
            Outcome::Transient(why) => {
                // NATS trouble: the capture waits for it, the lease decides how long.
                self.problem = Some(format!("capture does not start: {why}"));
                p.capture = Some(Wait::Until(now + self.config.retry));
                State::Primary(p)
            }
            Outcome::Permanent(why) => self.recapture(now, p, why),
        }
    }

    fn stop_done(&mut self, now: Monotonic, mut p: Primary, outcome: Outcome) -> State {
        match outcome {
            Outcome::Ok | Outcome::At(_) | Outcome::Compared(_) => {
                self.arm(p.lease);
                p.repair = Repair::Starting(self.run(Operation::StartBackend));
            }
            Outcome::Transient(why) | Outcome::Permanent(why) => {
                self.problem = Some(format!("the backend does not stop: {why}"));
                p.repair = Repair::Stopping(Wait::Until(now + self.config.retry));
            }
            Outcome::Fenced => {}
        }
        State::Primary(p)
    }

    fn start_done(&mut self, now: Monotonic, mut p: Primary, outcome: Outcome) -> State {
        p.repair = Repair::None;
        match outcome {
            Outcome::Ok | Outcome::At(_) | Outcome::Compared(_) => {
                self.problem = None;
                self.announce(format!("the backend was restarted in epoch {}", p.lease.epoch));
                State::Primary(p)
            }
            Outcome::Transient(why) | Outcome::Permanent(why) => {
                self.repair(now, p, format!("the backend does not start: {why}"))
            }
            Outcome::Fenced => State::Primary(p),
        }
    }

    fn hand_over(&mut self, p: Primary, reason: String) -> State {
        let planned = Planned { reason, successor: None, then: After::Rest, asked: Vec::new() };
        self.demote(State::Primary(p), planned)
    }
}
