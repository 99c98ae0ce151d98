//! The loop: one event in, the machine decides, the actions go out. It never waits for an
//! adapter; whatever takes time answers with an event.

use std::collections::BTreeMap;

use ccm_role::{Action, Command, CommandId, Event, Machine, OpId, Operation, Phase, Status};
use ccm_types::{BootClock, Monotonic};
use tokio::sync::{mpsc, oneshot, watch};

use crate::dispatch::Dispatch;
use crate::metrics::Steps;
use crate::recording::Recording;
use crate::role_line::{Line, RoleLine};
use crate::supervisor::Heartbeat;
use crate::tasks::TaskDied;
use crate::{Place, RunError, backend, files, vip};

/// A command of an operator on its way in.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) command: Command,
    pub(crate) reply: oneshot::Sender<Result<(), String>>,
}

/// What the loop listens to.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) shutdown: mpsc::Receiver<()>,
    pub(crate) deaths: mpsc::Receiver<TaskDied>,
    pub(crate) refused: mpsc::Receiver<RunError>,
    pub(crate) commands: mpsc::Receiver<Incoming>,
    pub(crate) events: mpsc::Receiver<Event>,
}

/// What others see of the loop.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: watch::Sender<Status>,
    /// The same in short, for the log.
    pub(crate) place: watch::Sender<Place>,
}

/// The machine and the ways to the adapters.
#[derive(Debug)]
pub(crate) struct EventLoop<'a> {
    pub(crate) machine: Machine,
    pub(crate) dispatch: Dispatch,
    shown: Shown,
    steps: Steps,
    recording: Recording,
    role: RoleLine,
    heartbeat: &'a mut Heartbeat,
    answers: BTreeMap<CommandId, oneshot::Sender<Result<(), String>>>,
    commands: u64,
}

impl<'a> EventLoop<'a> {
    pub(crate) fn new(
        machine: Machine,
        dispatch: Dispatch,
        shown: Shown,
        steps: Steps,
        recording: Recording,
        heartbeat: &'a mut Heartbeat,
    ) -> Self {
        Self {
            machine,
            dispatch,
            shown,
            steps,
            recording,
            role: RoleLine::new(BootClock.now()),
            heartbeat,
            answers: BTreeMap::new(),
            commands: 0,
        }
    }

    /// Turns until the machine says that the daemon is to end.
    pub(crate) async fn run(mut self, mut inputs: Inputs, start: Event) -> Result<(), RunError> {
        if self.handle(start) {
            return Ok(());
        }
        loop {
            let moving = self.machine.status().phase == Phase::Demoting;
            self.heartbeat.beat(BootClock.now(), moving);
            let event = tokio::select! {
                biased;
                died = inputs.deaths.recv() => {
                    let name = died.map_or("the task keeper", |died| died.name);
                    return Err(RunError::TaskDied { name });
                }
                Some(error) = inputs.refused.recv() => return Err(error),
                Some(()) = inputs.shutdown.recv() => Event::Shutdown,
                () = self.deadline() => Event::Tick,
                Some(incoming) = inputs.commands.recv() => self.accept(incoming),
                Some(event) = inputs.events.recv() => event,
            };
            if self.handle(event) {
                return Ok(());
            }
        }
    }

    /// The loop wakes often even so: the timer of the runtime does not count while the host is
    /// suspended, the clock of the lease does, and whoever supervises waits for a sign of life.
    async fn deadline(&self) {
        let (now, most) = (BootClock.now(), self.heartbeat.wake_within());
        let next = self.machine.next_deadline().map_or(now + most, |(at, _why)| at);
        tokio::time::sleep(next.since(now).min(most)).await;
    }

    fn accept(&mut self, incoming: Incoming) -> Event {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.answers.insert(id, incoming.reply);
        Event::Command { id, command: incoming.command }
    }

    /// One step; `true` when the daemon is to end.
    fn handle(&mut self, event: Event) -> bool {
        let now: Monotonic = BootClock.now();
        tracing::trace!(?event, "event");
        self.steps.event(&event, now);
        self.recording.event(&event, now);
        if event == Event::Shutdown {
            self.heartbeat.stop(now);
        }
        let mut ending = false;
        let actions = self.machine.step(now, event);
        let status = self.machine.status();
        self.role.see(&status, now);
        self.show(&status);
        for action in actions {
            tracing::debug!(?action, "action");
            self.steps.action(&action, now);
            self.recording.action(&action, now);
            ending |= self.act(action, now);
        }
        self.steps.phase(status.phase, now);
        self.recording.settle(&status, now);
        self.dispatch.left(status.phase == Phase::Left);
        ending
    }

    /// Before it is acted upon, so that a line in the log has the role that it tells of.
    fn show(&self, status: &Status) {
        let seen = status.leader.as_ref().map(|leader| leader.epoch);
        let place = Place { role: Some(status.role), epoch: status.epoch.or(seen) };
        self.shown.place.send_if_modified(|old| std::mem::replace(old, place) != place);
        self.shown.status.send_if_modified(|old| {
            let changed = old != status;
            old.clone_from(status);
            changed
        });
    }

    /// One line for a change of role.
    fn tell(&mut self, reason: &str, now: Monotonic) {
        let Line { role, epoch, took, is_new } = self.role.announce(&self.machine.status(), now);
        let epoch = epoch.map(ccm_types::Epoch::get);
        if is_new {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%role, epoch, took_ms, %reason, "role");
        } else {
            tracing::info!(epoch, "{reason}");
        }
    }

    fn act(&mut self, action: Action, now: Monotonic) -> bool {
        let dispatch = &mut self.dispatch;
        match action {
            Action::Campaign(campaign) => dispatch.campaign(campaign),
            Action::Release { txid, successor } => dispatch.election.release(txid, successor),
            Action::AdoptLease { epoch } => dispatch.adopt(epoch),
            Action::ArmGuard { epoch, valid_until } => dispatch.arm(epoch, valid_until),
            Action::DisarmGuard => dispatch.disarm(),
            Action::Run { op, operation } => self.run_operation(op, operation),
            Action::Follow => dispatch.to_files(files::Request::Follow),
            Action::StopFollowing => dispatch.to_files(files::Request::StopFollowing),
            Action::AskHandover { leader } => dispatch.ask_handover(leader),
            Action::Answer { id, result } => {
                if let Some(reply) = self.answers.remove(&id) {
                    // Whoever asked may have given up.
                    reply.send(result).ok();
                }
            }
            Action::Announce { reason } => {
                dispatch.announced();
                self.tell(&reason, now);
            }
            Action::Exit => return true,
        }
        false
    }

    fn run_operation(&mut self, op: OpId, operation: Operation) {
        let dispatch = &mut self.dispatch;
        match operation {
            Operation::StartBackend => dispatch.to_backend(op, backend::Request::Start),
            Operation::StopBackend => dispatch.to_backend(op, backend::Request::Stop),
            Operation::KillBackend { gone_by } => {
                dispatch.to_backend(op, backend::Request::Kill(gone_by));
            }
            Operation::AcquireVip { until, handed_over } => {
                dispatch.to_vip(op, vip::Request::Acquire { until, handed_over });
            }
            Operation::ReleaseVip => dispatch.to_vip(op, vip::Request::Release),
            Operation::MoveFence { .. }
            | Operation::Compare
            | Operation::CatchUp
            | Operation::Place { .. }
            | Operation::StartCapture { .. }
            | Operation::Flush
            | Operation::AbandonCapture
            | Operation::Retire { .. } => dispatch.to_files(files::Request::Run(op, operation)),
        }
    }
}
