//! The guard's loop: feeds the core, does what it says.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccm_types::{BootClock, Monotonic};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::task::TaskTracker;

use crate::connection::{Connection, Heard, drain};
use crate::core::{Caller, Core, CoreConfig, Effect, Input};
use crate::error::ServeError;
use crate::lock::Claim;
use crate::target::Target;
use crate::timer;
use crate::wire::{Envelope, Line, OnlyId, Refusal, RefusalCode, Reply};

/// Daemons that may be connected at once; one is normal, two while one takes over.
const CONNECTIONS_MAX: usize = 16;
/// Questions that may wait for the guard.
const QUESTIONS_WAITING: usize = 64;
/// Pause after a connection that could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long one call of a target may take.
const CALL_WITHIN: Duration = Duration::from_secs(1);

/// What a guard is told when it starts.
#[derive(Debug, Clone)]
pub struct GuardConfig {
    /// Where daemons find it; the folder must exist.
    pub socket: PathBuf,
    /// What it calls itself towards daemons.
    pub version: String,
    /// How long it stays when there is nothing to guard and no daemon is connected.
    pub idle_exit: Duration,
}

impl GuardConfig {
    /// A guard at `socket` that leaves after 10 s without work.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { socket, version, idle_exit: Duration::from_secs(10) }
    }
}

/// Is the guard until there is nothing to guard any more.
///
/// Blocks the calling thread, which must not belong to a runtime: it makes its own. The backend is
/// started by this very thread, because the kernel ends it with the thread that started it; so
/// call this from `main`. Handles SIGTERM, SIGINT and SIGHUP of the process: they end the guard
/// only when there is nothing to guard.
///
/// # Errors
/// [`ServeError`] when another guard has the socket, or the kernel refuses what a guard needs; all
/// before it guards anything.
pub fn serve<T: Target>(config: GuardConfig, target: T) -> Result<(), ServeError> {
    let claim = Claim::take(&config.socket)?;
    target.claimed(claim.socket()).map_err(ServeError::Target)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("make a runtime"))?;
    runtime.block_on(async {
        let sources = Sources::open(&claim)?;
        Guard::new(&config, target).run(sources).await;
        Ok(())
    })
}

/// Everything that wakes the guard.
struct Sources {
    listener: UnixListener,
    heard: mpsc::Receiver<Heard>,
    /// Kept so that the channel never ends; cloned for every connection.
    hearing: mpsc::Sender<Heard>,
    child: Signal,
    asked_to_end: [Signal; 3],
}

enum Woken {
    Time,
    Child,
    Signal,
    Daemon(UnixStream),
    Heard(Heard),
}

impl Sources {
    fn open(claim: &Claim) -> Result<Self, ServeError> {
        let handle = |kind| signal(kind).map_err(system("handle signals"));
        let child = handle(SignalKind::child())?;
        let asked_to_end = [
            handle(SignalKind::terminate())?,
            handle(SignalKind::interrupt())?,
            handle(SignalKind::hangup())?,
        ];
        let (hearing, heard) = mpsc::channel(QUESTIONS_WAITING);
        let listener = claim.listen()?;
        Ok(Self { listener, heard, hearing, child, asked_to_end })
    }

    /// Cancel safe.
    async fn next(&mut self, deadline: Option<Monotonic>) -> Woken {
        let [terminate, interrupt, hangup] = &mut self.asked_to_end;
        tokio::select! {
            () = timer::due(deadline) => Woken::Time,
            _ = self.child.recv() => Woken::Child,
            _ = terminate.recv() => Woken::Signal,
            _ = interrupt.recv() => Woken::Signal,
            _ = hangup.recv() => Woken::Signal,
            stream = accept(&self.listener) => Woken::Daemon(stream),
            // Never `None`: this struct holds a sender.
            Some(heard) = self.heard.recv() => Woken::Heard(heard),
        }
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!("could not accept a daemon's connection, will try again: {error}");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Calls of the target, which may be slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Stop,
    Kill,
    Look(u64),
    DropVip,
}

impl Call {
    /// In words, for the log.
    fn what(self) -> &'static str {
        match self {
            Self::Stop => "stop the backend",
            Self::Kill => "kill the backend",
            Self::Look(_) => "look whether the backend is gone",
            Self::DropVip => "take the virtual IP off",
        }
    }
}

struct Guard<T> {
    core: Core,
    target: Arc<T>,
    calls: JoinSet<(Call, Result<bool, String>)>,
    /// What could not be done, and why: it is tried again and again, and said once.
    failing: BTreeMap<&'static str, String>,
    under_way: Vec<(Call, AbortHandle)>,
    connections: BTreeMap<u64, Connection>,
    /// How many connections there have been.
    newest: u64,
    tasks: TaskTracker,
    quits: bool,
}

impl<T: Target> Guard<T> {
    fn new(config: &GuardConfig, target: T) -> Self {
        let now = BootClock.now();
        let core = CoreConfig {
            pid: std::process::id(),
            version: config.version.clone(),
            starts: T::STARTS,
            vip: target.vip().map(|vip| vip.name().clone()),
            idle_exit: config.idle_exit,
        };
        Self {
            core: Core::new(core, now),
            target: Arc::new(target),
            calls: JoinSet::new(),
            failing: BTreeMap::new(),
            under_way: Vec::new(),
            connections: BTreeMap::new(),
            newest: 0,
            tasks: TaskTracker::new(),
            quits: false,
        }
    }

    async fn run(mut self, mut sources: Sources) {
        while !self.quits {
            let deadline = self.core.next_deadline();
            tokio::select! {
                woken = sources.next(deadline) => self.on(woken, &sources.hearing),
                Some(done) = self.calls.join_next() => self.called(done),
            }
        }
        tracing::info!("the guard ends: nothing is left to guard");
        self.connections.clear();
        drop(sources);
        drain(&self.tasks).await;
    }

    fn on(&mut self, woken: Woken, hearing: &mpsc::Sender<Heard>) {
        match woken {
            Woken::Time => self.step(Input::Tick),
            Woken::Child => {
                if let Some(why) = self.target.ended() {
                    self.step(Input::Ended { why });
                }
            }
            Woken::Signal => {
                if self.core.is_needed() {
                    tracing::info!("asked to end by a signal: it stays while something is guarded");
                }
                self.step(Input::Signalled);
            }
            Woken::Daemon(_) if self.connections.len() >= CONNECTIONS_MAX => {
                tracing::warn!("{CONNECTIONS_MAX} connections are open, one more is turned away");
            }
            Woken::Daemon(stream) => {
                self.newest += 1;
                let number = self.newest;
                let connection = Connection::open(number, stream, hearing.clone(), &self.tasks);
                self.connections.insert(number, connection);
                self.step(Input::Connected);
            }
            Woken::Heard((number, None)) => {
                if self.connections.remove(&number).is_some() {
                    self.step(Input::Disconnected);
                }
            }
            Woken::Heard((number, Some(line))) => self.heard(number, &line),
        }
    }

    fn heard(&mut self, connection: u64, line: &str) {
        match serde_json::from_str::<Envelope>(line) {
            Ok(Envelope { id, request }) => {
                let caller = Caller { connection, id };
                self.step(Input::Asked { caller, request });
            }
            Err(error) => {
                let Ok(OnlyId { id }) = serde_json::from_str(line) else {
                    tracing::info!("a line that is no question, ignored: {error}");
                    return;
                };
                let words = format!("this guard does not understand the question: {error}");
                let reply = Reply::Refused(Refusal::new(RefusalCode::Invalid, words));
                self.reply(Caller { connection, id }, reply);
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut effects = self.core.step(BootClock.now(), input);
        // A start is answered at once and that answer has effects of its own, but never a start.
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Start { caller, argv } => {
                        let result = self.target.start(&argv);
                        let started = Input::Started { caller, result };
                        effects.extend(self.core.step(BootClock.now(), started));
                    }
                    Effect::Stop => self.call(Call::Stop),
                    Effect::Kill => self.call(Call::Kill),
                    Effect::Look { round } => self.call(Call::Look(round)),
                    Effect::DropVip => self.call(Call::DropVip),
                    Effect::Reply { caller, reply } => self.reply(caller, reply),
                    Effect::Exited { why } => self.exited(why),
                    Effect::Quit => self.quits = true,
                }
            }
        }
    }

    /// Calls the target, unless the same call is under way: the core asks again.
    fn call(&mut self, call: Call) {
        if self.under_way.iter().any(|(other, _)| *other == call) {
            return;
        }
        let target = Arc::clone(&self.target);
        let handle = self.calls.spawn(async move {
            let calling = async {
                match call {
                    Call::Stop => target.stop().await.map(|()| true),
                    Call::Kill => target.kill().await.map(|()| true),
                    Call::Look(_) => Ok(target.is_gone().await),
                    Call::DropVip => match target.vip() {
                        Some(vip) => vip.take_off().await.map(|()| true),
                        None => Ok(true),
                    },
                }
            };
            let late = || Err(format!("no answer within {CALL_WITHIN:?}"));
            let result = tokio::time::timeout(CALL_WITHIN, calling).await;
            (call, result.unwrap_or_else(|_| late()))
        });
        self.under_way.push((call, handle));
    }

    fn called(&mut self, done: Result<(Call, Result<bool, String>), JoinError>) {
        let (call, done) = match done {
            Ok((call, done)) => (call, self.worked(call, done)),
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!("a call of the backend's target has panicked: {error}");
                self.under_way.clear();
                return;
            }
        };
        self.under_way.retain(|(other, _)| *other != call);
        match call {
            Call::Look(round) => {
                // The look may have reaped the backend that this guard sees end.
                if let Some(why) = self.target.ended() {
                    self.step(Input::Ended { why });
                }
                self.step(Input::Looked { round, gone: done });
                if self.core.is_down() {
                    // A kill meant for what is gone must not hit what is started next.
                    self.under_way.drain(..).for_each(|(_, handle)| handle.abort());
                }
            }
            Call::DropVip => self.step(Input::VipDropped(done)),
            Call::Stop | Call::Kill => {}
        }
    }

    /// Whether the call has done what it is for.
    fn worked(&mut self, call: Call, done: Result<bool, String>) -> bool {
        match done {
            Ok(done) => {
                self.failing.remove(call.what());
                done
            }
            Err(problem) => {
                let said = self.failing.insert(call.what(), problem.clone());
                if said.as_ref() != Some(&problem) {
                    tracing::warn!(%problem, "the guard could not {}: trying again", call.what());
                }
                false
            }
        }
    }

    fn reply(&self, caller: Caller, reply: Reply) {
        if let Some(connection) = self.connections.get(&caller.connection) {
            connection.say(&reply.line(caller.id));
        }
    }

    fn exited(&self, why: String) {
        tracing::warn!(%why, "the backend has ended unasked: see what the daemon has logged");
        let line = Line { exited: Some(why), ..Line::default() };
        self.connections.values().for_each(|connection| connection.say(&line));
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |source| ServeError::System { what, source }
}
