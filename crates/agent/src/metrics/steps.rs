//! How long the steps up and down take.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccm_health::metrics::{Counts, Step};
use ccm_role::{Action, Event, OpId, Operation, Outcome, Phase};
use ccm_types::Monotonic;

use crate::backend::Restarts;

/// Operations whose end is awaited: the machine has a few under way at a time.
const BEGUN_MAX: usize = 64;

/// Sees everything that goes into the machine and comes out of it.
#[derive(Debug)]
pub(crate) struct Steps {
    counts: Arc<Counts>,
    restarts: Arc<Restarts>,
    begun: BTreeMap<OpId, (Step, Monotonic)>,
    /// When a lease was won whose backend does not serve yet.
    won: Option<Monotonic>,
    /// The lease that is won next is one that was adopted: its backend serves already.
    adopting: bool,
    phase: Phase,
}

impl Steps {
    pub(crate) fn new(counts: Arc<Counts>, restarts: Arc<Restarts>) -> Self {
        let (begun, phase) = (BTreeMap::new(), Phase::Starting);
        Self { counts, restarts, begun, won: None, adopting: false, phase }
    }

    /// Before the machine sees it.
    pub(crate) fn event(&mut self, event: &Event, now: Monotonic) {
        match event {
            Event::LeaseWon { .. } => {
                self.won = (!std::mem::take(&mut self.adopting)).then_some(now);
            }
            Event::LeaseLost(_) => self.won = None,
            Event::Done { op, outcome } => {
                if let Some((step, begun)) = self.begun.remove(op) {
                    self.counts.stepped(step, now.since(begun));
                }
                if *outcome == Outcome::Fenced {
                    self.counts.fenced();
                }
            }
            Event::CaptureEnded { fenced: true, .. } => self.counts.fenced(),
            Event::Start { adopted: Some(_), .. }
            | Event::Start { adopted: None, .. }
            | Event::Tick
            | Event::LeaseRenewed { .. }
            | Event::LeaseReleased
            | Event::LeaderSeen(_)
            | Event::BackendExited { .. }
            | Event::BackendHealthy
            | Event::BackendUnhealthy { .. }
            | Event::CaptureEnded { fenced: false, .. }
            | Event::Command { .. }
            | Event::HandoverAnswered { .. }
            | Event::Shutdown => {}
        }
    }

    /// Before it is acted upon.
    pub(crate) fn action(&mut self, action: &Action, now: Monotonic) {
        match action {
            Action::Run { op, operation } => {
                if self.begun.len() < BEGUN_MAX {
                    self.begun.insert(*op, (step(operation), now));
                }
                // One that has served: the first start comes before that.
                if self.phase == Phase::Primary && *operation == Operation::StartBackend {
                    self.restarts.note(now);
                }
            }
            Action::AdoptLease { .. } => self.adopting = true,
            Action::Campaign(_)
            | Action::Release { .. }
            | Action::ArmGuard { .. }
            | Action::DisarmGuard
            | Action::Follow
            | Action::StopFollowing
            | Action::AskHandover { .. }
            | Action::Answer { .. }
            | Action::Announce { .. }
            | Action::Exit => {}
        }
    }

    /// After the machine has decided.
    pub(crate) fn phase(&mut self, phase: Phase, now: Monotonic) {
        if phase == Phase::Primary
            && std::mem::replace(&mut self.phase, phase) == Phase::Promoting
            && let Some(won) = self.won.take()
        {
            self.counts.promoted(now.since(won));
        }
        self.adopting &= phase != Phase::Passive;
        self.phase = phase;
    }
}

fn step(operation: &Operation) -> Step {
    match operation {
        Operation::MoveFence { .. } => "move_fence",
        Operation::Compare => "compare",
        Operation::CatchUp => "catch_up",
        Operation::Place { .. } => "place",
        Operation::StartCapture { .. } => "start_capture",
        Operation::AcquireVip { .. } => "acquire_vip",
        Operation::ReleaseVip => "release_vip",
        Operation::StartBackend => "start_backend",
        Operation::StopBackend => "stop_backend",
        Operation::KillBackend { .. } => "kill_backend",
        Operation::Flush => "flush",
        Operation::AbandonCapture => "abandon_capture",
        Operation::Retire { .. } => "retire",
    }
}

/// The phases as metrics name them.
pub(crate) const PHASES: [&str; 8] =
    ["starting", "passive", "promoting", "primary", "demoting", "falling", "left", "stopped"];

/// The name of a phase among [`PHASES`].
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Passive => "passive",
        Phase::Promoting => "promoting",
        Phase::Primary => "primary",
        Phase::Demoting => "demoting",
        Phase::Falling => "falling",
        Phase::Left => "left",
        Phase::Stopped => "stopped",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use ccm_health::metrics::{Backend, BackendState, Reading, write};
    use ccm_types::{ClusterId, Epoch, NodeId};

    use super::*;

    /// The values of the samples of `name` that have this label.
    pub(crate) fn values(counts: &Counts, name: &str, label: &str) -> Vec<String> {
        let text = write(counts, nothing()).unwrap();
        let sample = |line: &str| {
            let rest = line.strip_prefix(name)?.strip_prefix('{')?;
            let (labels, value) = rest.split_once("} ")?;
            labels.contains(label).then(|| String::from(value))
        };
        text.lines().filter_map(sample).collect()
    }

    fn nothing() -> Reading {
        Reading {
            cluster: ClusterId::new("test").unwrap(),
            node: NodeId::new("me").unwrap(),
            version: "0",
            phase: None,
            phases: &PHASES,
            candidate: true,
            problem: false,
            lease: None,
            backend: Backend { state: BackendState::Unknown, uptime: Duration::ZERO },
            replication: None,
            vip_held: None,
            vip_announced: None,
            peers: None,
            history: ccm_health::metrics::History::default(),
            nats: None,
            levels: Vec::new(),
            snapshot_age: None,
            services: Vec::new(),
            services_ignored: None,
        }
    }

    #[test]
    fn every_phase_has_a_name_of_its_own_in_the_list() {
        let phases = [
            Phase::Starting,
            Phase::Passive,
            Phase::Promoting,
            Phase::Primary,
            Phase::Demoting,
            Phase::Falling,
            Phase::Left,
            Phase::Stopped,
        ];
        assert_eq!(phases.map(phase_name), PHASES);
    }

    #[test]
    fn steps_and_promotions_are_timed_and_fences_counted() {
        let cluster = ClusterId::new("test").unwrap();
        let counts = Arc::new(Counts::new(&cluster, &NodeId::new("me").unwrap()));
        let mut steps = Steps::new(Arc::clone(&counts), Restarts::new(Arc::clone(&counts)));
        let at = Monotonic::from_millis;
        let won = Event::LeaseWon { epoch: Epoch::new(1), valid_until: at(9000), released: None };
        steps.event(&won, at(100));
        steps.phase(Phase::Promoting, at(100));
        steps.action(&Action::Run { op: OpId(1), operation: Operation::CatchUp }, at(100));
        steps.event(&Event::Done { op: OpId(1), outcome: Outcome::Ok }, at(140));
        steps.event(&Event::Done { op: OpId(7), outcome: Outcome::Fenced }, at(150));
        steps.event(&Event::CaptureEnded { fenced: true, why: String::new() }, at(150));
        steps.phase(Phase::Primary, at(1300));
        steps.phase(Phase::Primary, at(2000));
        let count = |name, label| values(&counts, name, label).concat();
        let caught_up = "phase=\"catch_up\"";
        assert_eq!(count("ccm_failover_phase_seconds_count", ""), "1");
        assert_eq!(count("ccm_failover_phase_seconds_sum", caught_up), "0.04");
        assert_eq!(count("ccm_promotion_seconds_count", ""), "1");
        assert_eq!(count("ccm_promotion_seconds_sum", ""), "1.2");
        assert_eq!(count("ccm_fence_rejections_total", ""), "2");
    }

    #[test]
    fn a_start_of_a_backend_that_has_served_is_a_restart_and_the_first_one_is_not() {
        let cluster = ClusterId::new("test").unwrap();
        let counts = Arc::new(Counts::new(&cluster, &NodeId::new("me").unwrap()));
        let restarts = Restarts::new(Arc::clone(&counts));
        let mut steps = Steps::new(Arc::clone(&counts), Arc::clone(&restarts));
        let at = Monotonic::from_millis;
        let start = |op| Action::Run { op: OpId(op), operation: Operation::StartBackend };
        steps.phase(Phase::Promoting, at(1));
        steps.action(&start(1), at(2));
        steps.phase(Phase::Primary, at(3));
        assert_eq!(restarts.problem(at(3)), None);
        steps.action(&start(2), at(4));
        steps.action(&Action::Run { op: OpId(3), operation: Operation::StopBackend }, at(5));
        assert!(restarts.problem(at(6)).is_some());
        assert_eq!(values(&counts, "ccm_backend_restarts_total", ""), ["1"]);
    }

    #[test]
    fn a_backend_that_is_adopted_and_a_lease_that_is_lost_are_no_promotions() {
        let cluster = ClusterId::new("test").unwrap();
        let counts = Arc::new(Counts::new(&cluster, &NodeId::new("me").unwrap()));
        let at = Monotonic::from_millis;
        let won = Event::LeaseWon { epoch: Epoch::new(1), valid_until: at(9000), released: None };
        let mut adopting = Steps::new(Arc::clone(&counts), Restarts::new(Arc::clone(&counts)));
        adopting.action(&Action::AdoptLease { epoch: Epoch::new(1) }, at(1));
        adopting.phase(Phase::Promoting, at(1));
        adopting.event(&won, at(2));
        adopting.phase(Phase::Primary, at(3));
        let mut losing = Steps::new(Arc::clone(&counts), Restarts::new(Arc::clone(&counts)));
        losing.event(&won, at(1));
        losing.phase(Phase::Promoting, at(1));
        losing.event(&Event::LeaseLost(ccm_role::LossReason::Expired), at(2));
        losing.phase(Phase::Falling, at(2));
        losing.phase(Phase::Promoting, at(3));
        losing.phase(Phase::Primary, at(4));
        assert_eq!(values(&counts, "ccm_promotion_seconds_count", ""), ["0"]);
    }
}
