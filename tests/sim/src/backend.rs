//! The backend of a host, the guard that runs it (with the guard's real core), and the daemon's
//! lane that asks the guard.

use std::collections::VecDeque;

use ccm_guard::Armed;
use ccm_guard::BackendState;
use ccm_guard::core::{Caller, Core, Effect, Input, Reply, Request};
use ccm_role::{Event, OpId, Operation, Outcome};
use ccm_types::{Epoch, Monotonic};

use crate::daemon::{START_TIMEOUT, STOP_TIMEOUT, armed};
use crate::mutant::Mutant;
use crate::scenario::HostId;
use crate::time::{MS, S, Time, micros};
use crate::world::{What, World};

/// From daemon to guard and back.
const SOCKET: Time = 100;

/// When a backend that does not answer is called unhealthy.
const UNHEALTHY_AFTER: Time = 15 * S;

/// The backend's process.
#[derive(Debug, Default)]
pub(crate) struct Backend {
    pub(crate) alive: bool,
    /// Which start.
    pub(crate) life: u64,
    /// When it answers.
    healthy_at: Time,
    hangs: bool,
    pub(crate) stays_until: Time,
    pub(crate) broken_until: Time,
    /// It was asked to end in order.
    closing: bool,
}

impl Backend {
    /// It is gone.
    pub(crate) fn end(&mut self) {
        self.alive = false;
        self.hangs = false;
        self.closing = false;
    }

    /// The deadline that a guard keeps for a backend that runs.
    pub(crate) fn armed_if_running(&self, guard: &Core) -> Option<Armed> {
        let hello = guard.hello();
        let running = match hello.backend {
            BackendState::Running { .. } => true,
            BackendState::Stopped
            | BackendState::Stopping
            | BackendState::Exited { .. }
            | BackendState::External => false,
        };
        hello.armed.filter(|_| running && !hello.expired)
    }
}

/// What the lane does.
#[derive(Debug)]
enum Stage {
    /// The guard is being told the deadline.
    Arming,
    /// It is being started.
    Starting,
    /// It runs; the first healthy answer is waited for until then.
    Waiting(Time),
    /// It is being ended.
    Ending,
}

/// The daemon's lane of the backend.
#[derive(Debug, Default)]
pub(crate) struct BackendLane {
    queue: VecDeque<(OpId, Operation)>,
    busy: Option<(OpId, Operation, Stage)>,
    /// The question that the lane waits for.
    asked: u64,
    /// The deadline that the guard is to keep.
    wanted: Option<Armed>,
    /// The guard is gone, and another is not there yet.
    guard_gone: bool,
    /// The backend's end is news.
    pub(crate) serving: bool,
}

fn transient(why: &str) -> Outcome {
    Outcome::Transient(String::from(why))
}

impl World {
    pub(crate) fn arm(&mut self, host: HostId, epoch: Epoch, valid_until: Monotonic) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let armed = armed(epoch, &daemon.instance, valid_until);
        daemon.lane.wanted = Some(armed.clone());
        self.ask_guard(host, Request::Arm { armed });
    }

    pub(crate) fn disarm(&mut self, host: HostId) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        daemon.lane.wanted = None;
        self.ask_guard(host, Request::Disarm);
    }

    fn ask_guard(&mut self, host: HostId, request: Request) -> u64 {
        let id = self.number();
        let run = self.run_of(host);
        let life = self.hosts[host].guard_life;
        if self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.lane.guard_gone) {
            return id;
        }
        let caller = Caller { connection: run, id };
        let input = Box::new(Input::Asked { caller, request });
        self.after(SOCKET, What::Guard { host, life, input });
        id
    }

    /// A request for the lane. A stop interrupts a start, a kill also a stop.
    pub(crate) fn ask_lane(&mut self, host: HostId, op: OpId, operation: Operation) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let lane = &mut daemon.lane;
        let interrupts = match (&lane.busy, &operation) {
            (Some((_, Operation::StartBackend, _)), Operation::StopBackend) => true,
            (Some(_), Operation::KillBackend { .. }) => true,
            (Some(_) | None, _) => false,
        };
        lane.queue.push_back((op, operation));
        if interrupts && let Some((old, ..)) = lane.busy.take() {
            self.done(host, old, transient("it was interrupted"));
        }
        self.pump_lane(host);
    }

    fn pump_lane(&mut self, host: HostId) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let lane = &mut daemon.lane;
        if lane.busy.is_some() || lane.guard_gone {
            return;
        }
        let Some((op, operation)) = lane.queue.pop_front() else { return };
        let (request, stage) = match &operation {
            Operation::StartBackend => match lane.wanted.clone() {
                Some(armed) => (Request::Arm { armed }, Stage::Arming),
                None => {
                    self.done(host, op, transient("no lease covers the backend yet"));
                    return self.pump_lane(host);
                }
            },
            Operation::KillBackend { gone_by } => {
                lane.serving = false;
                (Request::Kill { gone_by: *gone_by }, Stage::Ending)
            }
            Operation::StopBackend
            | Operation::MoveFence { .. }
            | Operation::Compare
            | Operation::CatchUp
            | Operation::Place { .. }
            | Operation::StartCapture { .. }
            | Operation::AcquireVip { .. }
            | Operation::ReleaseVip
            | Operation::Flush
            | Operation::AbandonCapture
            | Operation::Retire { .. } => {
                lane.serving = false;
                let grace_ms = u64::try_from(STOP_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
                (Request::Stop { grace_ms }, Stage::Ending)
            }
        };
        lane.busy = Some((op, operation, stage));
        let id = self.ask_guard(host, request);
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.lane.asked = id;
        }
    }

    pub(crate) fn guard_answers(&mut self, host: HostId, id: u64, reply: &Reply) {
        let deadline = self.now + micros(START_TIMEOUT);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let (run, lane) = (daemon.run, &mut daemon.lane);
        if lane.asked != id {
            return;
        }
        let Some((op, _, stage)) = &mut lane.busy else { return };
        let op = *op;
        match (stage, reply) {
            (_, Reply::Refused(refusal)) => {
                let why = refusal.words.clone();
                self.lane_done(host, Outcome::Transient(why));
            }
            (stage @ Stage::Arming, _) => {
                *stage = Stage::Starting;
                let argv = vec![String::from("backend")];
                let id = self.ask_guard(host, Request::Start { argv });
                if let Some(daemon) = &mut self.hosts[host].daemon {
                    daemon.lane.asked = id;
                }
            }
            (stage @ Stage::Starting, _) => {
                *stage = Stage::Waiting(deadline);
                let healthy_at = self.hosts[host].backend.healthy_at;
                self.at(healthy_at.min(deadline), What::Starting { host, run, op });
            }
            (Stage::Waiting(_), _) => {}
            (Stage::Ending, _) => self.lane_done(host, Outcome::Ok),
        }
    }

    fn lane_done(&mut self, host: HostId, outcome: Outcome) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        if let Some((op, ..)) = daemon.lane.busy.take() {
            self.done(host, op, outcome);
        }
        self.pump_lane(host);
    }

    /// A look at a backend that starts.
    pub(crate) fn starting(&mut self, host: HostId, op: OpId) {
        let (now, it) = (self.now, &mut self.hosts[host]);
        let Some(daemon) = &mut it.daemon else { return };
        let Some((_, _, Stage::Waiting(until))) =
            daemon.lane.busy.as_ref().filter(|(busy, ..)| *busy == op)
        else {
            return;
        };
        let until = *until;
        if !it.backend.alive {
            self.lane_done(host, transient("it ended while starting"));
        } else if !it.backend.hangs && it.backend.healthy_at <= now {
            daemon.lane.serving = true;
            self.lane_done(host, Outcome::Ok);
        } else if now >= until {
            self.lane_done(host, transient("it was not healthy in time"));
        } else {
            let run = daemon.run;
            self.at(until, What::Starting { host, run, op });
        }
    }

    /// A backend that hangs has failed its probes.
    pub(crate) fn probe(&mut self, host: HostId, life: u64) {
        let it = &self.hosts[host].backend;
        if !it.alive || it.life != life || !it.hangs {
            return;
        }
        let run = self.run_of(host);
        self.after(UNHEALTHY_AFTER, What::Probe { host, run, life });
        if self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.lane.serving) {
            self.role(host, Event::BackendUnhealthy { why: String::from("no answer") });
        }
    }

    /// The probes of a backend that was found running.
    pub(crate) fn watch_health(&mut self, host: HostId) {
        let (life, run) = (self.hosts[host].backend.life, self.run_of(host));
        self.after(UNHEALTHY_AFTER, What::Probe { host, run, life });
    }

    /// The guard is killed. The kernel ends the backend with it, the address stays.
    pub(crate) fn guard_dies(&mut self, host: HostId) {
        let it = &mut self.hosts[host];
        if !it.power || it.frozen {
            return;
        }
        it.backend.end();
        it.vip_unguarded = it.vip;
        self.new_guard(host);
        self.say(host, || String::from("the guard dies, and the backend with it"));
        self.check_serving(host);
        let delay = self.random.between(20, 400) * MS;
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.lane.guard_gone = true;
            let run = daemon.run;
            self.after(delay, What::GuardBack { host, run });
        }
    }

    /// A daemon has started another guard.
    pub(crate) fn guard_back(&mut self, host: HostId) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let (run, lane) = (daemon.run, &mut daemon.lane);
        lane.guard_gone = false;
        let (serving, wanted) = (lane.serving, lane.wanted.clone());
        if serving {
            let event = Event::BackendExited { why: String::from("its guard has ended") };
            self.after(SOCKET, What::Tell { host, run, event });
        }
        if let Some(armed) = wanted {
            self.ask_guard(host, Request::Arm { armed });
        }
        self.lane_done(host, transient("the guard has ended"));
    }

    /// The guard takes an input.
    pub(crate) fn guard(&mut self, host: HostId, input: Input) {
        let now = self.local(host);
        let effects = self.hosts[host].guard.step(now, input);
        let hello = self.hosts[host].guard.hello();
        if hello.armed.is_some() && !hello.expired {
            self.hosts[host].vip_unguarded = false;
        }
        for effect in effects {
            self.guard_effect(host, effect);
        }
        let number = self.number();
        let it = &mut self.hosts[host];
        it.guard_tick = number;
        if let Some(at) = it.guard.next_deadline() {
            let (at, life) = (it.clock.real(at), it.guard_life);
            self.at(at.max(self.now + 1), What::GuardTick { host, life, number });
        }
    }

    pub(crate) fn guard_tick(&mut self, host: HostId, number: u64) {
        if self.hosts[host].guard_tick != number {
            return;
        }
        let idle = self.hosts[host].daemon.as_ref().is_none_or(|daemon| daemon.paused);
        if self.mutant == Some(Mutant::NoGuard) && idle {
            let life = self.hosts[host].guard_life;
            self.after(S, What::GuardTick { host, life, number });
            return;
        }
        self.guard(host, Input::Tick);
    }

    fn guard_effect(&mut self, host: HostId, effect: Effect) {
        let life = self.hosts[host].guard_life;
        match effect {
            Effect::Start { caller, .. } => {
                self.start_backend(host);
                self.guard(host, Input::Started { caller, result: Ok(1) });
            }
            Effect::Stop => {
                let it = &mut self.hosts[host].backend;
                it.closing = !it.hangs;
                let backend = it.life;
                if it.stays_until <= self.now && !it.hangs {
                    let delay = self.random.between(5, 400) * MS;
                    self.after(delay, What::Gone { host, life: backend });
                }
            }
            Effect::Kill => {
                let it = &mut self.hosts[host].backend;
                it.closing = false;
                let backend = it.life;
                let delay = self.random.between(1, 30) * MS;
                self.after(delay, What::Gone { host, life: backend });
            }
            Effect::Look { round } => {
                let gone = !self.hosts[host].backend.alive;
                let input = Box::new(Input::Looked { round, gone });
                self.after(MS, What::Guard { host, life, input });
            }
            Effect::DropVip => {
                if self.mutant != Some(Mutant::LateVip) {
                    let delay = self.random.between(200, 5000);
                    self.after(delay, What::VipDropped { host, life });
                }
            }
            Effect::Reply { caller, reply } => {
                let (run, id, reply) = (caller.connection, caller.id, Box::new(reply));
                self.after(SOCKET, What::FromGuard { host, run, id, reply });
            }
            Effect::Exited { why } => {
                self.say(host, || format!("guard: the backend has ended: {why}"));
                let run = self.run_of(host);
                if self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.lane.serving) {
                    let event = Event::BackendExited { why };
                    self.after(SOCKET, What::Tell { host, run, event });
                }
            }
            Effect::Quit => {}
        }
    }

    /// The kernel was asked to take the address away.
    pub(crate) fn vip_dropped(&mut self, host: HostId) {
        let works = self.hosts[host].vip_fails_until <= self.now;
        if works {
            self.set_vip(host, false);
            self.address_lost(host);
        }
        self.guard(host, Input::VipDropped(works));
    }

    /// Whether a guard keeps a deadline of this daemon that lies ahead.
    pub(crate) fn may_hold_address(&self, host: HostId) -> bool {
        let wanted = self.hosts[host].daemon.as_ref().and_then(|d| d.lane.wanted.as_ref());
        wanted.is_some_and(|armed| armed.valid_until > self.local(host))
    }

    fn start_backend(&mut self, host: HostId) {
        let broken = self.hosts[host].backend.broken_until > self.now;
        let life = self.number();
        let start = self.random.between(20, 800) * MS;
        let it = &mut self.hosts[host].backend;
        *it = Backend {
            alive: true,
            life,
            healthy_at: self.now + start,
            hangs: false,
            closing: false,
            ..std::mem::take(it)
        };
        self.say(host, || String::from("the backend starts"));
        self.check_serving(host);
        self.check_start(host);
        if !broken {
            self.after(start, What::Commit { host, life });
        } else if self.random.one_in(2) {
            self.after(start / 2, What::Gone { host, life });
        } else {
            self.hosts[host].backend.hangs = true;
        }
    }

    pub(crate) fn backend_dies(&mut self, host: HostId) {
        let it = &self.hosts[host].backend;
        if it.alive {
            let life = it.life;
            self.after(0, What::Gone { host, life });
        }
    }

    pub(crate) fn backend_hangs(&mut self, host: HostId) {
        let it = &mut self.hosts[host].backend;
        if it.alive {
            it.hangs = true;
            self.say(host, || String::from("the backend hangs"));
            self.watch_health(host);
        }
    }

    /// The backend is gone.
    pub(crate) fn gone(&mut self, host: HostId) {
        let it = &mut self.hosts[host];
        let captured = it.daemon.as_ref().is_some_and(|daemon| daemon.files.is_capturing());
        if it.backend.closing
            && !captured
            && let Some(data) = &mut it.disk.data
        {
            // The last connection that closes leaves no WAL.
            data.close();
        }
        it.backend.end();
        self.say(host, || String::from("the backend is gone"));
        self.check_serving(host);
        if let Some(daemon) = &self.hosts[host].daemon
            && let Some((op, _, Stage::Waiting(_))) = &daemon.lane.busy
        {
            let (run, op) = (daemon.run, *op);
            self.after(MS, What::Starting { host, run, op });
        }
        self.guard(host, Input::Ended { why: String::from("exit") });
    }

    /// The backend commits and tells its client.
    pub(crate) fn commit(&mut self, host: HostId) {
        let it = &mut self.hosts[host];
        let life = it.backend.life;
        let next = self.random.between(100, 1500) * MS;
        let full = it.disk.full_until > self.now;
        let healthy = !it.backend.hangs && !it.backend.closing;
        if healthy
            && !full
            && let Some(data) = &mut it.disk.data
        {
            let version = self.versions.commit(data.content(), self.now);
            data.commit(version, self.scenario.full_sync, &mut self.random);
            self.say(host, || format!("the backend commits {version}"));
            self.check_commit(host, version);
            self.wake_capture(host);
        }
        self.after(next, What::Commit { host, life });
    }
}
