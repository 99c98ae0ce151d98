//! Starting, following, leaving.

use ccm_types::{Monotonic, Txid};

use crate::action::{Action, Campaign, OpId, Operation};
use crate::event::{Adopted, Event, Outcome};
use crate::machine::Machine;
use crate::state::{Lease, Passive, Phase, Starting, State, Wait};
use crate::vip::Vip;

/// The shortest time a node that could not serve lets others have a try.
const REST_MIN: std::time::Duration = std::time::Duration::from_secs(30);

impl Machine {
    /// What every phase has in common: who leads.
    pub(crate) fn note(&mut self, now: Monotonic, event: &Event) {
        self.note_pending(event);
        match event {
            Event::LeaderSeen(leader) => {
                self.leader.clone_from(leader);
                // What this node lacks does not matter while another leads.
                let lacks = self.short_of > Txid::ZERO;
                let follows =
                    matches!(&self.state, State::Passive(p) if lacks || p.cooldown.is_none());
                if follows && self.another_leads() {
                    self.problem = None;
                }
            }
            Event::HandoverAnswered { leader, answer } => self.note_handover(leader, answer),
            Event::Tick => self.end_promotion_in_time(now),
            Event::Start { .. }
            | Event::LeaseWon { .. }
            | Event::LeaseRenewed { .. }
            | Event::LeaseLost(_)
            | Event::LeaseReleased
            | Event::Done { .. }
            | Event::BackendExited { .. }
            | Event::BackendHealthy
            | Event::BackendUnhealthy { .. }
            | Event::CaptureEnded { .. }
            | Event::Command { .. }
            | Event::Shutdown => {}
        }
    }

    /// Whether another node was seen to lead.
    pub(crate) fn another_leads(&self) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.node != self.config.node)
    }

    pub(crate) fn react(&mut self, now: Monotonic, state: State, event: Event) -> State {
        if let Event::Command { id, command } = event {
            return self.command(now, state, id, command);
        }
        if event == Event::Shutdown {
            return self.shutdown(now, state);
        }
        match state {
            State::Starting(s) => self.starting(now, s, event),
            State::Passive(p) => self.passive(now, p, &event),
            State::Promoting(p) => self.promoting(now, p, event),
            State::Primary(p) => self.primary(now, p, event),
            State::Demoting(d) => self.demoting(now, d, event),
            State::Falling(f) => self.falling(now, f, event),
            State::Hurrying { kill, until, killed } => {
                let done = matches!(&event, Event::Done { op, .. } if *op == kill);
                self.hurried(now, kill, until, killed || done)
            }
            State::Left | State::Stopped => state,
        }
    }

    fn starting(&mut self, now: Monotonic, mut s: Starting, event: Event) -> State {
        match event {
            Event::Start { adopted: Some(Adopted { epoch, valid_until }), left: false }
                if now < valid_until =>
            {
                return self.begin_adoption(Lease { epoch, valid_until, released: None });
            }
            Event::Start { left, .. } => {
                s.left = left;
                self.clear_vip();
                s.wait = Some(Wait::Op(self.run(Operation::StopBackend)));
            }
            Event::Done { op, outcome } if s.wait == Some(Wait::Op(op)) => match outcome {
                Outcome::Ok | Outcome::At(_) | Outcome::Compared(_) | Outcome::Fenced => {
                    self.problem = None;
                    s.stopped = true;
                    s.wait = None;
                    if self.vip == Vip::Off {
                        return self.started(s);
                    }
                }
                Outcome::Transient(why) | Outcome::Permanent(why) => {
                    let words = format!("a backend of an earlier run does not stop: {why}");
                    self.problem = Some(words);
                    s.wait = Some(Wait::Until(now + self.config.retry));
                }
            },
            Event::Tick => {
                if let Some(Wait::Until(at)) = s.wait
                    && now >= at
                {
                    s.wait = Some(Wait::Op(self.run(Operation::StopBackend)));
                }
            }
            Event::LeaseWon { .. }
            | Event::LeaseRenewed { .. }
            | Event::LeaseLost(_)
            | Event::LeaseReleased
            | Event::LeaderSeen(_)
            | Event::Done { .. }
            | Event::BackendExited { .. }
            | Event::BackendHealthy
            | Event::BackendUnhealthy { .. }
            | Event::CaptureEnded { .. }
            | Event::Command { .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => {}
        }
        State::Starting(s)
    }

    /// Nothing of an earlier run is left.
    pub(crate) fn started(&mut self, s: Starting) -> State {
        if s.left {
            return self.leave();
        }
        self.announce("started");
        self.follow(false)
    }

    fn passive(&mut self, now: Monotonic, mut p: Passive, event: &Event) -> State {
        if *event == Event::Tick && p.cooldown.take_if(|until| now >= *until).is_some() {
            self.campaign_again();
        }
        State::Passive(p)
    }

    /// A lease that waits for a node that can use it is used, or given back.
    pub(crate) fn use_pending(&mut self, now: Monotonic) {
        let Some(lease) = self.pending else { return };
        if matches!(self.state, State::Hurrying { .. }) {
            // Something may still run: the lease is not given away, it runs out.
            self.pending = None;
            return;
        }
        let phase = self.state.phase();
        match phase {
            Phase::Passive => {
                self.pending = None;
                if now < lease.valid_until {
                    self.change(|machine, _| machine.begin_promotion(lease));
                } else {
                    self.emit(Action::Release { txid: lease.floor(), successor: None });
                }
            }
            Phase::Left | Phase::Stopped => {
                self.pending = None;
                self.emit(Action::Release { txid: lease.floor(), successor: None });
            }
            Phase::Starting | Phase::Falling | Phase::Demoting => {}
            // One leadership at a time: the election does not win what it holds.
            Phase::Promoting | Phase::Primary => self.pending = None,
        }
    }

    /// Keeps a pending lease up to date.
    fn note_pending(&mut self, event: &Event) {
        match event {
            Event::LeaseWon { epoch, valid_until, released }
                if self.state.phase() != Phase::Promoting =>
            {
                let (epoch, valid_until) = (*epoch, *valid_until);
                self.pending = Some(Lease { epoch, valid_until, released: *released });
            }
            Event::LeaseRenewed { valid_until } => {
                if let Some(lease) = &mut self.pending {
                    lease.valid_until = lease.valid_until.max(*valid_until);
                }
            }
            Event::LeaseLost(_) | Event::LeaseReleased => self.pending = None,
            Event::Start { .. }
            | Event::Tick
            | Event::LeaseWon { .. }
            | Event::LeaderSeen(_)
            | Event::Done { .. }
            | Event::BackendExited { .. }
            | Event::BackendHealthy
            | Event::BackendUnhealthy { .. }
            | Event::CaptureEnded { .. }
            | Event::Command { .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => {}
        }
    }

    /// Follows and campaigns; with `rest`, lets others have a try first.
    pub(crate) fn follow(&mut self, rest: bool) -> State {
        self.emit(Action::Follow);
        if rest {
            self.campaign(Campaign::Off);
            let rest = (self.config.ttl * 3).max(REST_MIN);
            return State::Passive(Passive { cooldown: Some(self.now + rest) });
        }
        self.campaign_again();
        State::Passive(Passive::default())
    }

    /// Campaigns as the configuration and the operator want it.
    pub(crate) fn campaign_again(&mut self) {
        let campaign = if self.promotion.is_some() {
            Campaign::Forced
        } else if self.config.candidate {
            Campaign::On
        } else {
            Campaign::Off
        };
        self.campaign(campaign);
    }

    pub(crate) fn leave(&mut self) -> State {
        self.emit(Action::StopFollowing);
        self.campaign(Campaign::Off);
        self.problem = Some(String::from("this node has left the cluster: run ccm join"));
        self.announce("left the cluster");
        State::Left
    }

    /// Ends when everything is gone, or was given its time.
    pub(crate) fn hurried(
        &mut self,
        now: Monotonic,
        kill: OpId,
        until: Monotonic,
        killed: bool,
    ) -> State {
        let gone = killed && self.vip == Vip::Off;
        if !gone && now < until {
            return State::Hurrying { kill, until, killed };
        }
        // A guard keeps its deadline when not everything was seen to be gone.
        if gone {
            self.disarm();
        }
        self.emit(Action::Exit);
        State::Stopped
    }
}
