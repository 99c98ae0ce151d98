//! A daemon: the real lease and the real machine, and the shell between them and the world.

use std::time::Duration;

use ccm_agent::words::{self, NodeConfig};
use ccm_election::{
    Adoption, Change, Input, Lease, LeaseConfig, Request, RequestId, Revision, Timing, WriteOutcome,
};
use ccm_guard::Armed;
use ccm_role::{Action, Adopted, CommandId, Event, Machine, OpId, Operation, Phase};
use ccm_types::{Epoch, Monotonic, NodeId, Txid};

use crate::backend::BackendLane;
use crate::files::FilesLane;
use crate::mutant::Mutant;
use crate::scenario::HostId;
use crate::time::{MS, S, Time};
use crate::world::{Run, What, World};

/// The numbers of the lease in every run: the defaults of the product.
pub(crate) const TIMING: Timing =
    Timing { ttl: Duration::from_secs(10), heartbeat: Duration::from_secs(3) };

/// SIGTERM to SIGKILL in a planned stop.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a start may take.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(8);

/// Between two tries to reach NATS at the start, or to start a daemon that was refused.
const JOIN_EVERY: Time = 500 * MS;

/// Before a request counts as unanswered, for a broken variant that does not accept that.
const MOMENT: Duration = Duration::from_millis(1);

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) run: Run,
    pub(crate) instance: String,
    pub(crate) paused: bool,
    pub(crate) put_off: Vec<What>,
    /// It has reached NATS and takes part.
    pub(crate) joined: bool,
    found: Option<Armed>,
    pub(crate) machine: Machine,
    lease: Lease,
    lease_tick: u64,
    role_tick: u64,
    pub(crate) files: FilesLane,
    pub(crate) lane: BackendLane,
    /// Work on the virtual IP that is under way; taking it only before a moment.
    vip: Option<(OpId, Option<Monotonic>)>,
    /// The address is to be held.
    vip_held: bool,
    /// Requests to hand over that have not been answered.
    pub(crate) handovers: Vec<(CommandId, HostId, Run)>,
    /// Until when the broken variants believe that they hold the lease.
    belief: Option<(Epoch, Monotonic)>,
    /// When the request under way was made, and until when a write is waited for: for the broken
    /// variants.
    asked_at: Monotonic,
    writing: Option<(RequestId, Revision, Monotonic)>,
}

impl World {
    pub(crate) fn run_of(&self, host: HostId) -> Run {
        self.hosts[host].daemon.as_ref().map_or(0, |daemon| daemon.run)
    }

    pub(crate) fn start_daemon(&mut self, host: HostId) {
        if self.hosts[host].disk.left {
            // An operator has called `ccm join` before.
            self.hosts[host].disk.left = false;
            self.end_daemon(host);
        }
        if self.hosts[host].daemon.is_some() {
            return;
        }
        let run = self.number();
        let it = &mut self.hosts[host];
        it.runs += 1;
        let instance = format!("h{host}r{}", it.runs);
        let hello_armed = it.backend.armed_if_running(&it.guard);
        let machine = Machine::new(words::machine_config(NodeConfig {
            node: it.node.clone(),
            candidate: true,
            vip: true,
            timing: TIMING,
            stop_timeout: STOP_TIMEOUT,
            start_timeout: START_TIMEOUT,
        }));
        let lease = Lease::new(lease_config(&it.node, &instance, Epoch::NONE));
        it.daemon = Some(Daemon {
            run,
            instance,
            paused: false,
            put_off: Vec::new(),
            joined: false,
            found: hello_armed,
            machine,
            lease,
            lease_tick: 0,
            role_tick: 0,
            files: FilesLane::default(),
            lane: BackendLane::default(),
            vip: None,
            vip_held: false,
            handovers: Vec::new(),
            belief: None,
            asked_at: Monotonic::default(),
            writing: None,
        });
        self.say(host, || String::from("the daemon starts"));
        let delay = self.random.between(1, 200) * MS;
        self.after(delay, What::Join { host, run });
    }

    /// Reaches NATS, or tries again.
    pub(crate) fn join(&mut self, host: HostId) {
        let link = &self.hosts[host].link;
        let reached =
            self.nats.is_up(self.now) && link.mute_until <= self.now && link.deaf_until <= self.now;
        let run = self.run_of(host);
        if !reached {
            self.after(JOIN_EVERY, What::Join { host, run });
            return;
        }
        let node = self.hosts[host].node.clone();
        let taken = self.hosts.iter().enumerate().any(|(other, it)| {
            other != host && it.node == node && it.daemon.as_ref().is_some_and(|d| d.joined)
        });
        // A look that comes too early sees nobody.
        if taken && !self.random.one_in(3) {
            self.say(host, || String::from("another daemon has this node id: refused"));
            self.end_daemon(host);
            let life = self.hosts[host].life;
            self.after(5 * S, What::StartDaemon { host, life });
            return;
        }
        let fence = self.nats.fence().map_or(Epoch::NONE, |fence| fence.epoch);
        let it = &mut self.hosts[host];
        let own = it.disk.highest_epoch();
        let running = it.backend.alive;
        let Some(daemon) = &mut it.daemon else { return };
        daemon.joined = true;
        daemon.lease = Lease::new(lease_config(&node, &daemon.instance, own.max(fence)));
        daemon.found = daemon.found.take().filter(|_| running);
        daemon.lane.serving = daemon.found.is_some();
        let adopted = daemon
            .found
            .as_ref()
            .map(|armed| Adopted { epoch: armed.epoch, valid_until: armed.valid_until });
        let left = it.disk.left;
        if adopted.is_some() {
            self.watch_health(host);
        }
        self.lease(host, Input::Tick);
        self.role(host, Event::Start { adopted, left });
    }

    /// The daemon is gone, whatever it was doing.
    pub(crate) fn end_daemon(&mut self, host: HostId) {
        self.interrupt_files(host);
        self.hosts[host].daemon = None;
        self.checks.forget(host);
    }

    /// The machine takes an event in.
    pub(crate) fn role(&mut self, host: HostId, event: Event) {
        let now = self.local(host);
        self.say(host, || format!("< {event:?}"));
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        if !daemon.joined {
            return;
        }
        let before = daemon.machine.status().phase;
        let actions = daemon.machine.step(now, event);
        let after = daemon.machine.status().phase;
        if before != after {
            self.say(host, || format!("= {before:?} -> {after:?}"));
        }
        let actions = self.mutate_actions(host, actions);
        for action in actions {
            self.say(host, || format!("> {action:?}"));
            if self.act(host, action) {
                self.say(host, || String::from("the daemon ends"));
                self.end_daemon(host);
                return;
            }
        }
        if let Some(daemon) = &self.hosts[host].daemon
            && daemon.machine.status().phase == Phase::Left
        {
            self.hosts[host].disk.left = true;
        }
        self.schedule_role(host);
    }

    fn schedule_role(&mut self, host: HostId) {
        let number = self.number();
        let it = &mut self.hosts[host];
        let Some(daemon) = &mut it.daemon else { return };
        daemon.role_tick = number;
        let Some((at, _)) = daemon.machine.next_deadline() else { return };
        let (at, run) = (it.clock.real(at), daemon.run);
        self.at(at, What::RoleTick { host, run, number });
    }

    pub(crate) fn role_tick(&mut self, host: HostId, number: u64) {
        if self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.role_tick == number) {
            self.role(host, Event::Tick);
        }
    }

    fn act(&mut self, host: HostId, action: Action) -> bool {
        match action {
            Action::Campaign(campaign) => {
                self.lease(host, Input::Campaign(words::campaign(campaign)));
            }
            Action::Release { txid, successor } => {
                self.check_release(host, txid);
                self.lease(host, Input::Release { txid, successor });
            }
            Action::AdoptLease { epoch } => self.adopt(host, epoch),
            Action::ArmGuard { epoch, valid_until } => self.arm(host, epoch, valid_until),
            Action::DisarmGuard => self.disarm(host),
            Action::Run { op, operation } => self.run(host, op, operation),
            Action::Follow => self.ask_files(host, crate::files::Request::Follow),
            Action::StopFollowing => self.ask_files(host, crate::files::Request::StopFollowing),
            Action::AskHandover { leader } => self.send_handover(host, leader),
            Action::Answer { id, result } => self.answer(host, id, result),
            Action::Announce { .. } => {}
            Action::Exit => return true,
        }
        false
    }

    fn answer(&mut self, host: HostId, id: CommandId, result: Result<(), String>) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        if let Some(at) = daemon.handovers.iter().position(|(asked, ..)| *asked == id) {
            let (_, to, run) = daemon.handovers.remove(at);
            self.handed_over(host, to, run, result);
        }
    }

    fn run(&mut self, host: HostId, op: OpId, operation: Operation) {
        self.check_serial(host, op, &operation);
        match operation {
            Operation::AcquireVip { until, handed_over: _ } => {
                self.change_vip(host, op, Some(until))
            }
            Operation::ReleaseVip => self.change_vip(host, op, None),
            Operation::StartBackend | Operation::StopBackend | Operation::KillBackend { .. } => {
                self.ask_lane(host, op, operation)
            }
            Operation::MoveFence { .. }
            | Operation::Compare
            | Operation::CatchUp
            | Operation::Place { .. }
            | Operation::StartCapture { .. }
            | Operation::Flush
            | Operation::AbandonCapture
            | Operation::Retire { .. } => {
                self.ask_files(host, crate::files::Request::Run(op, operation));
            }
        }
    }

    /// An operation has ended.
    pub(crate) fn done(&mut self, host: HostId, op: OpId, outcome: ccm_role::Outcome) {
        self.checks.ended(host, op);
        let run = self.run_of(host);
        let event = Event::Done { op, outcome };
        self.after(10, What::Tell { host, run, event });
    }

    fn change_vip(&mut self, host: HostId, op: OpId, until: Option<Monotonic>) {
        let interrupted = self.hosts[host].daemon.as_mut().and_then(|d| d.vip.replace((op, until)));
        if let Some((old, _)) = interrupted {
            let why = String::from("something else was asked for");
            self.done(host, old, ccm_role::Outcome::Transient(why));
        }
        let run = self.run_of(host);
        let delay = self.random.between(200, 20_000);
        self.after(delay, What::Vip { host, run, op });
    }

    pub(crate) fn vip_changed(&mut self, host: HostId, op: OpId) {
        let now = self.local(host);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let Some((_, until)) = daemon.vip.take_if(|(asked, _)| *asked == op) else { return };
        let up = until.is_some();
        if until.is_some_and(|until| until <= now) {
            let why = String::from("the lease that it was asked for under is over");
            self.done(host, op, ccm_role::Outcome::Transient(why));
            return;
        }
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.vip_held = false;
        }
        if self.hosts[host].vip_fails_until > self.now {
            let why = String::from("no answer from the kernel");
            self.done(host, op, ccm_role::Outcome::Transient(why));
            return;
        }
        if !up && self.mutant == Some(Mutant::LateVip) && self.hosts[host].vip {
            // Said to be gone, and goes later.
            let life = self.hosts[host].guard_life;
            self.after(12 * S, What::VipDropped { host, life });
        } else {
            self.set_vip(host, up);
        }
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.vip_held = up;
        }
        self.done(host, op, ccm_role::Outcome::Ok);
    }

    /// Somebody else has taken the address off: a daemon that holds it puts it back.
    pub(crate) fn address_lost(&mut self, host: HostId) {
        if self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.vip_held) {
            let run = self.run_of(host);
            let delay = self.random.between(200, 20_000);
            self.after(delay, What::AddressBack { host, run });
        }
    }

    pub(crate) fn address_back(&mut self, host: HostId) {
        let held = self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.vip_held);
        if held && self.may_hold_address(host) {
            self.set_vip(host, true);
        }
    }

    pub(crate) fn set_vip(&mut self, host: HostId, up: bool) {
        if self.hosts[host].vip != up {
            self.hosts[host].vip = up;
            self.hosts[host].vip_unguarded &= up;
            self.say(host, || format!("virtual IP {}", if up { "taken" } else { "gone" }));
            self.check_serving(host);
        }
    }

    fn adopt(&mut self, host: HostId, epoch: Epoch) {
        let found = self.hosts[host].daemon.as_ref().and_then(|daemon| daemon.found.clone());
        if let Some(found) = found.filter(|found| found.epoch == epoch) {
            let (instance, valid_until) = (found.instance, found.valid_until);
            self.lease(host, Input::Adopt(Adoption { epoch, instance, valid_until }));
        }
    }

    /// The lease takes an input.
    pub(crate) fn lease(&mut self, host: HostId, input: Input) {
        let now = self.local(host);
        let input = self.mutate_input(host, input);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        if !daemon.joined {
            return;
        }
        let step = daemon.lease.step(now, input);
        let run = daemon.run;
        self.note_handed_over(&step.changes);
        for change in self.mutate_changes(host, step.changes) {
            if let Change::Won { epoch, adopted, .. } = &change {
                self.check_won(host, *epoch, *adopted);
            }
            let event = words::lease_event(change);
            self.after(5, What::Tell { host, run, event });
        }
        for request in step.requests {
            let Some(daemon) = &mut self.hosts[host].daemon else { return };
            daemon.asked_at = now;
            match request {
                Request::Read { id, .. } => {
                    daemon.writing = None;
                    self.send_read(host, run, id);
                }
                Request::Write { id, expected, record, timeout } => {
                    daemon.writing = Some((id, expected, now + timeout));
                    self.send_write(host, run, id, expected, record);
                }
            }
        }
        self.schedule_lease(host);
    }

    fn schedule_lease(&mut self, host: HostId) {
        let number = self.number();
        let it = &mut self.hosts[host];
        let Some(daemon) = &mut it.daemon else { return };
        daemon.lease_tick = number;
        let mut at = daemon.lease.next_deadline();
        if let Some((_, until)) = daemon.belief {
            at = at.min(until);
        }
        if let Some((.., until)) =
            daemon.writing.filter(|_| self.mutant == Some(Mutant::HopefulRenewal))
        {
            at = at.min(until - MOMENT);
        }
        let (at, run) = (it.clock.real(at), daemon.run);
        // The machine promises a later moment; a runtime's timer is not earlier either.
        let at = at.max(self.now + 1);
        self.at(at, What::LeaseTick { host, run, number });
    }

    pub(crate) fn lease_tick(&mut self, host: HostId, number: u64) {
        if self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.lease_tick == number) {
            self.lease(host, Input::Tick);
        }
    }

    /// What the broken variants make of an answer about the lease.
    fn mutate_input(&mut self, host: HostId, input: Input) -> Input {
        let now = self.local(host);
        let Some(daemon) = &mut self.hosts[host].daemon else { return input };
        match (input, daemon.writing) {
            (Input::Tick, Some((id, expected, until)))
                if self.mutant == Some(Mutant::HopefulRenewal) && now + MOMENT >= until =>
            {
                daemon.writing = None;
                let outcome = WriteOutcome::Stored(Revision(expected.0 + 1));
                Input::Written { id, outcome }
            }
            (Input::Written { id, outcome }, writing) => {
                daemon.writing = writing.filter(|(other, ..)| *other != id);
                Input::Written { id, outcome }
            }
            (input, _) => input,
        }
    }

    /// What the broken variants make of the lease's changes.
    fn mutate_changes(&mut self, host: HostId, mut changes: Vec<Change>) -> Vec<Change> {
        if self.mutant == Some(Mutant::ForgottenRelease) {
            for change in &mut changes {
                if let Change::Won { released, .. } = change {
                    *released = None;
                }
            }
        }
        let longer = match self.mutant {
            Some(Mutant::LeaseFromReply) => {
                let now = self.local(host);
                self.hosts[host].daemon.as_ref().map(|daemon| now.since(daemon.asked_at))
            }
            Some(Mutant::NoMargin) => Some(TIMING.margin()),
            Some(_) | None => None,
        };
        let now = self.local(host);
        let (Some(longer), Some(daemon)) = (longer, &mut self.hosts[host].daemon) else {
            return changes;
        };
        let mut out = Vec::new();
        for change in changes {
            match change {
                Change::Won { epoch, valid_until, adopted, released } => {
                    let valid_until = valid_until + longer;
                    daemon.belief = Some((epoch, valid_until));
                    out.push(Change::Won { epoch, valid_until, adopted, released });
                }
                Change::Renewed { valid_until } => {
                    let valid_until = valid_until + longer;
                    daemon.belief = daemon.belief.map(|(epoch, _)| (epoch, valid_until));
                    out.push(Change::Renewed { valid_until });
                }
                // Not before the time that it believes in.
                Change::Lost(ccm_election::LossReason::Expired) if daemon.belief.is_some() => {}
                change @ (Change::Lost(_) | Change::Released | Change::Leader(_)) => {
                    out.push(change);
                }
            }
        }
        if daemon.belief.is_some_and(|(_, until)| until <= now) {
            daemon.belief = None;
            out.push(Change::Lost(ccm_election::LossReason::Expired));
        }
        out
    }

    /// What the broken variants make of the machine's actions.
    fn mutate_actions(&mut self, host: HostId, actions: Vec<Action>) -> Vec<Action> {
        let demoting = self.hosts[host]
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.machine.status().phase == Phase::Demoting);
        let mut out = Vec::new();
        for action in actions {
            match (self.mutant, &action) {
                (Some(Mutant::ReleaseBeforeFlush), Action::Run { operation, .. })
                    if demoting && *operation == Operation::StopBackend =>
                {
                    out.push(action);
                    out.push(Action::Release { txid: Txid::ZERO, successor: None });
                }
                (Some(Mutant::CaptureBeforeBackend), Action::Run { operation, .. })
                    if demoting && *operation == Operation::StopBackend =>
                {
                    self.end_capture_early(host);
                    out.push(action);
                }
                (_, _) => out.push(action),
            }
        }
        out
    }
}

fn lease_config(node: &NodeId, instance: &str, floor: Epoch) -> LeaseConfig {
    LeaseConfig {
        node: node.clone(),
        instance: String::from(instance),
        address: String::new(),
        timing: TIMING,
        priority_delay: Duration::ZERO,
        floor,
    }
}

/// The name a guard needs to know a daemon by.
pub(crate) fn armed(epoch: Epoch, instance: &str, valid_until: Monotonic) -> Armed {
    words::armed(TIMING, epoch, String::from(instance), valid_until)
}
