//! What of all that goes into the machine and comes out of it belongs into the history. Pure.

mod climb;
mod descent;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use ccm_election::Win;
use ccm_history::{BackendNews, Phase as Part, Phases, Refusal, RoleChange, Stage, What};
use ccm_role::{
    Action, Campaign, Command, CommandId, Event, OpId, Operation, Outcome, Phase, Status,
};
use ccm_types::{Epoch, Monotonic, RoleName};
use jiff::Timestamp;

use climb::Climb;
use descent::Descent;
use standing::not_standing;

/// Operations whose end is awaited: the machine has a few under way at a time.
const BEGUN_MAX: usize = 64;

/// One moment, by the clock of the lease and by that of the wall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Monotonic,
    pub(crate) wall: Timestamp,
}

/// Something for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) what: What,
}

/// Sees every step of the machine.
#[derive(Debug)]
pub(crate) struct Chronicle {
    /// `node.candidate`
    candidate: bool,
    phase: Phase,
    epoch: Option<Epoch>,
    role: Option<RoleName>,
    campaign: Campaign,
    begun: BTreeMap<OpId, (Part, Monotonic)>,
    /// The lease that is won next is one that was adopted: its backend serves already.
    adopting: bool,
    climb: Option<Climb>,
    descent: Option<Descent>,
    /// What is wrong with the backend, until the machine has answered.
    backend: Option<String>,
    announced: Vec<String>,
    promotes: BTreeSet<CommandId>,
    /// That nobody has the lease and this node does not take it was told.
    told_free: bool,
    out: Vec<Entry>,
}

impl Chronicle {
    pub(crate) fn new(candidate: bool) -> Self {
        Self {
            candidate,
            phase: Phase::Starting,
            epoch: None,
            role: None,
            campaign: Campaign::Off,
            begun: BTreeMap::new(),
            adopting: false,
            climb: None,
            descent: None,
            backend: None,
            announced: Vec::new(),
            promotes: BTreeSet::new(),
            told_free: false,
            out: Vec::new(),
        }
    }

    /// Before the machine sees it. `win` is how the last lease was won.
    pub(crate) fn event(&mut self, event: &Event, win: Option<&Win>, at: Moment) {
        match event {
            Event::LeaseWon { epoch, .. } => {
                if !std::mem::take(&mut self.adopting) {
                    self.climb = Some(Climb::new(*epoch, win, at.now));
                }
            }
            Event::LeaseLost(_) => {
                // One that waits for the end of the leadership before it.
                self.climb
                    .take_if(|_| self.phase != Phase::Promoting && self.phase != Phase::Primary);
            }
            Event::LeaseReleased => {
                if let Some(descent) = &mut self.descent {
                    descent.released(at);
                }
            }
            Event::Done { op, outcome } => self.done(*op, outcome, at.now),
            Event::BackendExited { why } => {
                self.backend = Some(format!("it has ended by itself: {why}"));
            }
            Event::BackendUnhealthy { why } => {
                self.backend = Some(format!("it is not healthy: {why}"));
            }
            Event::Command { id, command: Command::Promote } => {
                self.promotes.insert(*id);
            }
            Event::Start { .. }
            | Event::Tick
            | Event::LeaseRenewed { .. }
            | Event::LeaderSeen(_)
            | Event::BackendHealthy
            | Event::CaptureEnded { .. }
            | Event::Command { command: Command::Demote { .. } | Command::Leave, .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => {}
        }
    }

    /// Before it is acted upon.
    pub(crate) fn action(&mut self, action: &Action, at: Moment) {
        match action {
            Action::Run { op, operation } => self.run(*op, operation, at),
            Action::AdoptLease { .. } => self.adopting = true,
            Action::Campaign(campaign) => self.campaign = *campaign,
            Action::Release { successor, .. } => {
                if let Some(descent) = &mut self.descent {
                    descent.releases(successor.clone(), at.now);
                }
            }
            Action::Announce { reason } => self.announced.push(reason.clone()),
            Action::Answer { id, result } => {
                let was_promotion = self.promotes.remove(id);
                if let (true, Err(why)) = (was_promotion, result) {
                    self.refused(Stage::Command, why.clone(), Phases::default(), self.epoch, at);
                }
            }
            Action::ArmGuard { .. }
            | Action::DisarmGuard
            | Action::Follow
            | Action::StopFollowing
            | Action::AskHandover { .. }
            | Action::Exit => {}
        }
    }

    /// After the machine has decided and this node looks like this; `free` when a node that
    /// campaigns would take the lease now. Returns what belongs into the history.
    pub(crate) fn settle(&mut self, status: &Status, free: bool, at: Moment) -> Vec<Entry> {
        let seen = status.leader.as_ref().map(|leader| leader.epoch);
        self.epoch = status.epoch.or(seen).or(self.epoch);
        let before = std::mem::replace(&mut self.phase, status.phase);
        self.backend = None;
        self.settle_descent(before, status.epoch, at);
        let reason = self.announced.last().cloned();
        self.settle_role(before, status.role, at);
        self.settle_climb(before, status, at);
        if let Some(descent) = &mut self.descent {
            descent.reason(reason);
        }
        self.settle_end_of_descent(at);
        self.settle_free(free, status, at);
        self.adopting &= status.phase != Phase::Passive;
        std::mem::take(&mut self.out)
    }

    /// Why this node would not take the lease if it were free; `None` when it would, or leads.
    pub(crate) fn not_eligible(&self, status: &Status) -> Option<String> {
        not_standing(status, self.campaign, self.candidate)
    }

    fn done(&mut self, op: OpId, outcome: &Outcome, now: Monotonic) {
        let Some((part, begun)) = self.begun.remove(&op) else { return };
        let took = now.since(begun);
        if let Some(descent) = &mut self.descent {
            descent.phases.add(part, took);
        } else if let Some(climb) = &mut self.climb {
            climb.done(part, took, outcome);
        }
    }

    fn run(&mut self, op: OpId, operation: &Operation, at: Moment) {
        if *operation == Operation::StopBackend
            && self.phase == Phase::Primary
            && let Some(why) = self.backend.take()
        {
            let failed = What::Backend(BackendNews::Failed { why });
            self.push(at.wall, self.epoch, failed);
        }
        let Some(part) = part(operation) else { return };
        if self.begun.len() < BEGUN_MAX {
            self.begun.insert(op, (part, at.now));
        }
        if let (Part::VirtualIp, Some(climb)) = (part, &mut self.climb) {
            climb.takes_vip();
        }
    }

    fn settle_role(&mut self, before: Phase, role: RoleName, at: Moment) {
        let announced = std::mem::take(&mut self.announced);
        let ends = self.phase == Phase::Stopped && before != Phase::Stopped;
        let silent = ends && announced.is_empty();
        let ending = silent.then(|| String::from("the daemon is ending"));
        // The leadership that has ended, also when the next one was seen already.
        let epoch = self.descent.as_ref().map_or(self.epoch, Descent::epoch);
        for reason in announced.into_iter().chain(ending) {
            let restarted = before == Phase::Primary
                && self.phase == Phase::Primary
                && self.role == Some(RoleName::Primary);
            let what = if restarted {
                What::Backend(BackendNews::Restarted)
            } else {
                What::Role(RoleChange { role, reason })
            };
            self.push(at.wall, epoch, what);
        }
        self.role = Some(role);
    }

    fn settle_climb(&mut self, before: Phase, status: &Status, at: Moment) {
        let Some(climb) = &mut self.climb else { return };
        if self.phase == Phase::Primary {
            climb.serves(at);
        }
        let up = matches!(self.phase, Phase::Promoting | Phase::Primary);
        if climb.is_served() && (!up || !climb.waits_for_vip()) {
            let climb = self.climb.take();
            if let Some((at, epoch, what)) = climb.and_then(Climb::into_takeover) {
                self.push(at, Some(epoch), what);
            }
        } else if !up && before == Phase::Promoting {
            let epoch = climb.epoch();
            let phases = self.climb.take().map(Climb::into_phases).unwrap_or_default();
            let why = status.problem.clone();
            let why = why.unwrap_or_else(|| String::from("it was told to give it up"));
            self.refused(Stage::Promotion, why, phases, Some(epoch), at);
        } else if matches!(self.phase, Phase::Left | Phase::Stopped) {
            // Given back unused.
            self.climb = None;
        }
    }

    fn settle_descent(&mut self, before: Phase, epoch: Option<Epoch>, at: Moment) {
        let begins = self.phase == Phase::Demoting && before == Phase::Primary;
        if begins {
            self.descent = Some(Descent::new(epoch, at.now));
        }
        if matches!(self.phase, Phase::Falling | Phase::Promoting | Phase::Primary) {
            self.descent = None;
        }
    }

    fn settle_end_of_descent(&mut self, at: Moment) {
        if matches!(self.phase, Phase::Passive | Phase::Left | Phase::Stopped)
            && let Some((epoch, what)) = self.descent.take().and_then(Descent::into_handover)
        {
            self.push(at.wall, epoch, what);
        }
    }

    fn settle_free(&mut self, free: bool, status: &Status, at: Moment) {
        if !free {
            self.told_free = false;
        } else if !self.told_free
            && let Some(why) = self.not_eligible(status)
        {
            self.told_free = true;
            self.refused(Stage::Election, why, Phases::default(), self.epoch, at);
        }
    }

    fn refused(
        &mut self,
        stage: Stage,
        why: String,
        phases: Phases,
        epoch: Option<Epoch>,
        at: Moment,
    ) {
        self.push(at.wall, epoch, What::Refused(Refusal { stage, why, phases }));
    }

    fn push(&mut self, at: Timestamp, epoch: Option<Epoch>, what: What) {
        self.out.push(Entry { at, epoch, what });
    }
}

/// Which part of a takeover or of a handover an operation is.
fn part(operation: &Operation) -> Option<Part> {
    Some(match operation {
        Operation::MoveFence { .. } => Part::Fence,
        Operation::Compare => Part::Compare,
        Operation::CatchUp => Part::CatchUp,
        Operation::Place { .. } => Part::Swap,
        Operation::StartCapture { .. } => Part::Capture,
        Operation::AcquireVip { .. } => Part::VirtualIp,
        Operation::ReleaseVip => Part::VirtualIpOff,
        Operation::StartBackend => Part::BackendStart,
        Operation::StopBackend | Operation::KillBackend { .. } => Part::BackendStop,
        Operation::Flush => Part::Flush,
        Operation::Retire { .. } => Part::Retire,
        Operation::AbandonCapture => return None,
    })
}

#[cfg(test)]
mod tests;
