//! What a guard decides, as a pure function of time and what happens.
//!
//! The shell, [`crate::serve`], feeds it and does what it says; a simulation can as well. Deadlines
//! come before everything else: whatever happens, [`Core::step`] first does what is due, so no
//! request can slip in between a deadline and the moment the timer is noticed.

mod request;
#[cfg(test)]
mod tests;
mod vip;

use std::time::Duration;

use ccm_types::Monotonic;

use self::vip::Vip;
use crate::Armed;
use crate::vip::VipName;
use crate::wire::{BackendState, Hello};
pub use crate::wire::{Refusal, Reply, Request};

/// Between two looks whether a backend that is being ended is gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same for one that has not gone for [`SLOW_AFTER`], and for one that may be started by
/// somebody else after its deadline.
const LOOK_SLOWLY_EVERY: Duration = Duration::from_millis(500);
/// How long after SIGKILL a backend that is still there is looked at often.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Who has asked: a connection and the number of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The connection.
    pub connection: u64,
    /// The number of the question on it.
    pub id: u64,
}

/// What happens to a guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// [`Core::next_deadline`] may have passed.
    Tick,
    /// A daemon has connected.
    Connected,
    /// A daemon is gone.
    Disconnected,
    /// A daemon asks.
    Asked {
        /// Who.
        caller: Caller,
        /// What.
        request: Request,
    },
    /// The answer to [`Effect::Start`].
    Started {
        /// Who had asked.
        caller: Caller,
        /// The process id, or why there is none.
        result: Result<u32, String>,
    },
    /// The process that was started has ended.
    Ended {
        /// Exit status or signal, in words.
        why: String,
    },
    /// The answer to [`Effect::Look`].
    Looked {
        /// Of the look.
        round: u64,
        /// Nothing of the backend is left.
        gone: bool,
    },
    /// The answer to [`Effect::DropVip`]: whether the kernel no longer has the address.
    VipDropped(bool),
    /// Asked by a signal to end.
    Signalled,
}

/// What a guard is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the backend; answered at once with [`Input::Started`].
    Start {
        /// Who has asked.
        caller: Caller,
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// Ask the backend to end.
    Stop,
    /// End everything that is left of it.
    Kill,
    /// See whether something is left; answered some time with [`Input::Looked`] and the same
    /// round.
    Look {
        /// Of the look.
        round: u64,
    },
    /// Take the virtual IP away; answered some time with [`Input::VipDropped`].
    DropVip,
    /// Answer a daemon.
    Reply {
        /// Who has asked.
        caller: Caller,
        /// The answer.
        reply: Reply,
    },
    /// Tell the daemon that the backend has ended without being asked to.
    Exited {
        /// In words.
        why: String,
    },
    /// End the guard.
    Quit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Backend {
    Down { why: Option<String> },
    Up { pid: u32, since: Monotonic },
    Ending(Ending),
}

/// A backend on its way down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ending {
    kill_at: Monotonic,
    /// When SIGKILL was first sent; after a suspend long after `kill_at`.
    killed: Option<Monotonic>,
    look_at: Monotonic,
    /// Why it ends, when no daemon has asked for it.
    unasked: Option<String>,
    waiting: Vec<Caller>,
}

/// What a guard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreConfig {
    /// Its process id.
    pub pid: u32,
    /// What it calls itself towards daemons.
    pub version: String,
    /// Whether it starts the backend itself.
    pub starts: bool,
    /// The virtual IP to take away.
    pub vip: Option<VipName>,
    /// How long it stays when there is nothing to guard and no daemon is connected.
    pub idle_exit: Duration,
}

/// The state of a guard.
#[derive(Debug)]
pub struct Core {
    pid: u32,
    version: String,
    /// Whether the guard starts the backend itself.
    starts: bool,
    vip_name: Option<VipName>,
    idle_exit: Duration,
    armed: Option<Armed>,
    expired: bool,
    backend: Backend,
    /// Grows with every end, so that a look of an earlier one is not believed.
    round: u64,
    /// When to look whether a backend that the guard does not start has come back.
    watch_at: Monotonic,
    vip: Vip,
    connections: usize,
    idle_since: Option<Monotonic>,
    /// Asked to end: it does as soon as nobody needs it.
    leaving: bool,
}

impl Core {
    /// A guard that nobody has told anything yet.
    #[must_use]
    pub fn new(config: CoreConfig, now: Monotonic) -> Self {
        let CoreConfig { pid, version, starts, vip: vip_name, idle_exit } = config;
        Self {
            pid,
            version,
            starts,
            idle_exit,
            armed: None,
            expired: false,
            backend: Backend::Down { why: None },
            round: 0,
            watch_at: now,
            vip: Vip::new(vip_name.is_some()),
            vip_name,
            connections: 0,
            idle_since: Some(now),
            leaving: false,
        }
    }

    /// Does what is due at `now`, then answers `input`.
    pub fn step(&mut self, now: Monotonic, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.due(now, &mut out);
        match input {
            Input::Tick => {}
            Input::Connected => self.connections += 1,
            Input::Disconnected => self.connections = self.connections.saturating_sub(1),
            Input::Asked { caller, request } => self.asked(now, caller, request, &mut out),
            Input::Started { caller, result } => self.started(now, caller, result, &mut out),
            Input::Ended { why } => self.ended(now, why, &mut out),
            Input::Looked { round, gone } if round == self.round => {
                self.looked(now, gone, &mut out)
            }
            Input::Looked { .. } => {}
            Input::VipDropped(gone) => self.vip.dropped(now, gone),
            Input::Signalled => {
                self.leaving = true;
                if !self.is_needed() {
                    out.push(Effect::Quit);
                }
            }
        }
        let idle = !self.is_needed() && self.connections == 0;
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
        if idle && self.leaving && !out.contains(&Effect::Quit) {
            out.push(Effect::Quit);
        }
        out
    }

    /// When [`Core::step`] has something to do even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let expiry = self.armed.as_ref().filter(|_| !self.expired).map(|armed| armed.valid_until);
        let ending = match &self.backend {
            Backend::Ending(ending) if ending.killed.is_some() => Some(ending.look_at),
            Backend::Ending(ending) => Some(ending.look_at.min(ending.kill_at)),
            Backend::Down { .. } if self.watches() => Some(self.watch_at),
            Backend::Down { .. } | Backend::Up { .. } => None,
        };
        let idle = self.idle_since.map(|since| since + self.idle_exit);
        [expiry, ending, self.vip.next_deadline(), idle].into_iter().flatten().min()
    }

    /// Whether something would be unguarded if the guard ended.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.is_down() || self.vip.is_going() || (self.armed.is_some() && !self.expired)
    }

    /// Whether nothing runs and nothing is being ended, as far as the guard knows.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self.backend, Backend::Down { .. })
    }

    /// Whether somebody else might start the backend although its deadline has passed: a daemon
    /// that was stopped while it waited for the start.
    fn watches(&self) -> bool {
        !self.starts && self.armed.is_some() && self.expired
    }

    fn due(&mut self, now: Monotonic, out: &mut Vec<Effect>) {
        if let Some(armed) = self.armed.as_ref().filter(|a| !self.expired && a.valid_until <= now) {
            let why = format!("the lease of epoch {} ran out", armed.epoch);
            let kill_at = armed.kill_at;
            self.expired = true;
            self.watch_at = now + LOOK_SLOWLY_EVERY;
            // Before the backend: nobody shall be led to one that ends.
            self.vip.expire(now);
            self.vip.press(now, out);
            if self.may_run() {
                self.end(now, kill_at, Some(why), None, out);
            }
        }
        self.vip.press(now, out);
        let round = self.round;
        if let Backend::Ending(ending) = &mut self.backend {
            ending.press(now, round, out);
        } else if self.watches() && self.watch_at <= now {
            self.watch_at = now + LOOK_SLOWLY_EVERY;
            out.push(Effect::Look { round });
        }
        if self.idle_since.is_some_and(|since| since + self.idle_exit <= now) {
            out.push(Effect::Quit);
        }
    }

    /// Whether there may be something to end.
    fn may_run(&self) -> bool {
        !self.starts || !self.is_down()
    }

    /// Begins to end the backend, or hurries an end that has begun.
    fn end(
        &mut self,
        now: Monotonic,
        kill_at: Monotonic,
        unasked: Option<String>,
        waiting: Option<Caller>,
        out: &mut Vec<Effect>,
    ) {
        if let Backend::Ending(ending) = &mut self.backend {
            ending.kill_at = ending.kill_at.min(kill_at);
            ending.waiting.extend(waiting);
        } else {
            self.round += 1;
            if now < kill_at {
                out.push(Effect::Stop);
            }
            let waiting = waiting.into_iter().collect();
            let look_at = now + LOOK_EVERY;
            let ending = Ending { kill_at, killed: None, look_at, unasked, waiting };
            self.backend = Backend::Ending(ending);
        }
        let round = self.round;
        if let Backend::Ending(ending) = &mut self.backend {
            ending.press(now, round, out);
        }
    }

    fn ended(&mut self, now: Monotonic, why: String, out: &mut Vec<Effect>) {
        match &mut self.backend {
            Backend::Up { .. } => self.end(now, now, Some(why), None, out),
            // What the program has started had its SIGTERM too and keeps its grace.
            Backend::Ending(ending) => {
                ending.look_at = now;
                let round = self.round;
                ending.press(now, round, out);
            }
            Backend::Down { .. } => {}
        }
    }

    fn looked(&mut self, now: Monotonic, gone: bool, out: &mut Vec<Effect>) {
        let watches = self.watches();
        match &mut self.backend {
            Backend::Ending(ending) if gone => {
                let reply = Reply::Done;
                let done = ending.waiting.drain(..);
                out.extend(done.map(|caller| Effect::Reply { caller, reply: reply.clone() }));
                let why = ending.unasked.take();
                out.extend(why.clone().map(|why| Effect::Exited { why }));
                self.backend = Backend::Down { why };
            }
            Backend::Down { .. } if !gone && watches => {
                let why = "it was started although its lease had run out".to_owned();
                self.end(now, now, Some(why), None, out);
            }
            Backend::Ending(_) | Backend::Down { .. } | Backend::Up { .. } => {}
        }
    }

    fn started(
        &mut self,
        now: Monotonic,
        caller: Caller,
        result: Result<u32, String>,
        out: &mut Vec<Effect>,
    ) {
        let reply = match result {
            Ok(pid) => {
                self.backend = Backend::Up { pid, since: now };
                Reply::Started { pid }
            }
            Err(words) => request::refused(crate::RefusalCode::CannotStart, words),
        };
        out.push(Effect::Reply { caller, reply });
    }

    /// What the guard knows.
    #[must_use]
    pub fn hello(&self) -> Hello {
        let backend = match &self.backend {
            Backend::Ending(_) => BackendState::Stopping,
            Backend::Up { pid, since } => BackendState::Running { pid: *pid, since: *since },
            Backend::Down { .. } if !self.starts => BackendState::External,
            Backend::Down { why: None } => BackendState::Stopped,
            Backend::Down { why: Some(why) } => BackendState::Exited { why: why.clone() },
        };
        Hello {
            pid: self.pid,
            version: self.version.clone(),
            backend,
            armed: self.armed.clone(),
            expired: self.expired,
            vip: self.vip_name.clone(),
        }
    }
}

impl Ending {
    /// SIGKILL and a look, as far as they are due.
    fn press(&mut self, now: Monotonic, round: u64, out: &mut Vec<Effect>) {
        let kill = self.kill_at <= now && (self.killed.is_none() || self.look_at <= now);
        if kill {
            self.killed.get_or_insert(now);
            out.push(Effect::Kill);
        }
        if kill || self.look_at <= now {
            let slow = self.killed.is_some_and(|first| now.since(first) >= SLOW_AFTER);
            self.look_at = now + if slow { LOOK_SLOWLY_EVERY } else { LOOK_EVERY };
            out.push(Effect::Look { round });
        }
    }
}
