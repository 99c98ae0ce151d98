//! The machine: one event in, a list of actions out.

use std::time::Duration;

use ccm_types::{Epoch, Monotonic, NodeId, RoleName, Txid};

use crate::action::{Action, Campaign, OpId, Operation};
use crate::event::{CommandId, Event, Leader};
use crate::promotion::WantedPromotion;
use crate::state::{BackendLimit, Lease, Phase, Repair, Starting, State, Wait};
use crate::transition;
use crate::vip::Vip;

/// What the machine must know of its node and of the lease's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Whether it may take over without being told.
    pub candidate: bool,
    /// Whether there is a virtual IP.
    pub vip: bool,
    /// The lease's ttl.
    pub ttl: Duration,
    /// From `valid_until` to the moment nothing of the backend is left.
    pub stop: Duration,
    /// SIGTERM to SIGKILL in a planned stop.
    pub stop_timeout: Duration,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// Between two tries of a rung.
    pub retry: Duration,
    /// Restarts within `restart_window` before the lease is handed over.
    pub restarts_max: u32,
    /// See `restarts_max`.
    pub restart_window: Duration,
}

/// What the machine shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// PRIMARY while a lease is held.
    pub role: RoleName,
    /// The phase.
    pub phase: Phase,
    /// The epoch of the lease that is held.
    pub epoch: Option<Epoch>,
    /// Who leads.
    pub leader: Option<Leader>,
    /// What an operator should know, in words.
    pub problem: Option<String>,
}

/// What a node does. Time comes in with every event; there is no clock inside.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) config: Config,
    pub(crate) state: State,
    pub(crate) leader: Option<Leader>,
    pub(crate) problem: Option<String>,
    /// A lease that was won before the last leadership was wound up.
    pub(crate) pending: Option<Lease>,
    pub(crate) promotion: Option<WantedPromotion>,
    /// The position at release that this node could not reach, and has said so.
    pub(crate) short_of: Txid,
    /// Whose answer to a request to hand over is waited for.
    pub(crate) asking: Option<NodeId>,
    pub(crate) vip: Vip,
    /// The guard has a deadline.
    pub(crate) armed: bool,
    pub(crate) out: Vec<Action>,
    /// The time of the event that is looked at.
    pub(crate) now: Monotonic,
    last_op: u64,
}

impl Machine {
    /// A node that has not started yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Starting(Starting::default()),
            leader: None,
            problem: None,
            pending: None,
            promotion: None,
            short_of: Txid::ZERO,
            asking: None,
            vip: Vip::Off,
            armed: false,
            out: Vec::new(),
            now: Monotonic::default(),
            last_op: 0,
        }
    }

    /// Takes one event in and returns what is to be done, in order.
    ///
    /// The deadline of the lease is applied before the event is looked at, so no backlog of
    /// events can delay a fall.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        self.now = now;
        let deadline = self.state.lease().filter(|lease| now >= lease.valid_until);
        if let Some(lease) = deadline {
            let why = format!("the lease of epoch {} was not renewed in time", lease.epoch);
            self.change(|machine, state| machine.fall(now, state, why, true));
        }
        self.note(now, &event);
        self.note_vip(now, &event);
        self.change(|machine, state| machine.react(now, state, event));
        self.settle_promotion();
        self.use_pending(now);
        self.ask_for_promotion(now);
        std::mem::take(&mut self.out)
    }

    /// When a [`Event::Tick`] is due, and what for.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Monotonic, &'static str)> {
        let lease = self.state.lease().map(|l| (l.valid_until, "the lease ends"));
        let wait = match &self.state {
            State::Starting(s) => s.wait,
            State::Promoting(p) => p.wait,
            State::Primary(p) => match p.repair {
                Repair::Stopping(wait) => Some(wait),
                Repair::None | Repair::Starting(_) => p.capture,
            },
            State::Demoting(d) => d.wait,
            State::Falling(f) => Some(f.wait),
            State::Hurrying { until, .. } => Some(Wait::Until(*until)),
            State::Passive(p) => p.cooldown.map(Wait::Until),
            State::Left | State::Stopped => None,
        };
        let retry = match wait {
            Some(Wait::Until(at)) => Some((at, "another try")),
            Some(Wait::Op(_)) | None => None,
        };
        let capture = match &self.state {
            State::Primary(p) => match p.capture {
                Some(Wait::Until(at)) => Some((at, "another try to capture")),
                Some(Wait::Op(_)) | None => None,
            },
            State::Starting(_)
            | State::Passive(_)
            | State::Promoting(_)
            | State::Demoting(_)
            | State::Falling(_)
            | State::Left
            | State::Hurrying { .. }
            | State::Stopped => None,
        };
        let vip = match self.vip.wait() {
            Some(Wait::Until(at)) => Some((at, "another try with the virtual IP")),
            Some(Wait::Op(_)) | None => None,
        };
        [lease, retry, capture, vip, self.promotion_deadline()].into_iter().flatten().min()
    }

    /// What the node is, for people.
    #[must_use]
    pub fn status(&self) -> Status {
        let lease = self.state.lease();
        Status {
            role: if lease.is_some() { RoleName::Primary } else { RoleName::Passive },
            phase: self.state.phase(),
            epoch: lease.map(|lease| lease.epoch),
            leader: self.leader.clone(),
            problem: self.problem.clone(),
        }
    }

    /// Runs one flow and checks the change of phase against the table.
    pub(crate) fn change(&mut self, flow: impl FnOnce(&mut Self, State) -> State) {
        let before = self.state.phase();
        let state = std::mem::replace(&mut self.state, State::Stopped);
        self.state = flow(self, state);
        let after = self.state.phase();
        debug_assert!(
            before == after || transition::allowed(before, after),
            "{before:?} to {after:?} is not in the table"
        );
    }

    pub(crate) fn emit(&mut self, action: Action) {
        self.out.push(action);
    }

    /// Starts an operation and waits for it.
    pub(crate) fn run(&mut self, operation: Operation) -> OpId {
        if operation == Operation::StartBackend {
            assert!(self.armed, "a backend is never started without a guarded deadline");
        }
        self.last_op += 1;
        let op = OpId(self.last_op);
        self.emit(Action::Run { op, operation });
        op
    }

    pub(crate) fn arm(&mut self, lease: Lease) {
        self.armed = true;
        self.emit(Action::ArmGuard { epoch: lease.epoch, valid_until: lease.valid_until });
    }

    pub(crate) fn disarm(&mut self) {
        if self.armed {
            self.armed = false;
            self.emit(Action::DisarmGuard);
        }
    }

    pub(crate) fn campaign(&mut self, campaign: Campaign) {
        self.emit(Action::Campaign(campaign));
    }

    pub(crate) fn announce(&mut self, reason: impl Into<String>) {
        self.emit(Action::Announce { reason: reason.into() });
    }

    pub(crate) fn answer(&mut self, id: CommandId, result: Result<(), String>) {
        self.emit(Action::Answer { id, result });
    }

    pub(crate) fn answer_all(&mut self, ids: Vec<CommandId>, result: &Result<(), String>) {
        for id in ids {
            self.answer(id, result.clone());
        }
    }

    /// Notes one more restart; `false` when there were too many lately.
    pub(crate) fn may_restart(&self, now: Monotonic, limit: &mut BackendLimit) -> bool {
        let window = self.config.restart_window;
        limit.restarts.retain(|at| now.since(*at) < window);
        limit.restarts.push(now);
        limit.restarts.len() <= self.config.restarts_max as usize
    }
}
