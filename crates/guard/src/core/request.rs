//! How a guard answers its daemon.

use std::time::Duration;

use ccm_types::Monotonic;

use super::{Backend, Caller, Core, Effect};
use crate::wire::{Refusal, RefusalCode, Reply, Request};

pub(super) fn refused(code: RefusalCode, words: impl Into<String>) -> Reply {
    Reply::Refused(Refusal::new(code, words))
}

impl Core {
    pub(super) fn asked(
        &mut self,
        now: Monotonic,
        caller: Caller,
        request: Request,
        out: &mut Vec<Effect>,
    ) {
        let reply = match request {
            Request::Hello => Reply::Hello(self.hello()),
            Request::Arm { armed } => self.arm(now, armed),
            Request::Disarm => self.disarm(),
            Request::Start { argv } => match self.may_start() {
                Ok(()) => return out.push(Effect::Start { caller, argv }),
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::Stop { grace_ms } if self.may_run() => {
                let kill_at = now + Duration::from_millis(grace_ms);
                return self.end(now, kill_at, None, Some(caller), out);
            }
            Request::Kill { gone_by } if self.may_run() => {
                let kill_at = now + gone_by.since(now) / 2;
                return self.end(now, kill_at, None, Some(caller), out);
            }
            Request::Stop { .. } | Request::Kill { .. } => Reply::Done,
            Request::Quit => match self.quit(caller, out) {
                Ok(()) => return,
                Err(refusal) => Reply::Refused(refusal),
            },
        };
        out.push(Effect::Reply { caller, reply });
    }

    fn arm(&mut self, now: Monotonic, armed: crate::Armed) -> Reply {
        let old = self.armed.as_ref().map(|old| (old, self.expired));
        match armed.may_replace(old, now) {
            Ok(()) => {
                self.armed = Some(armed);
                self.expired = false;
                self.vip.renew();
                Reply::Done
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn disarm(&mut self) -> Reply {
        if matches!(self.backend, Backend::Up { .. }) {
            let words = "the backend runs and would be unguarded: stop it first";
            return refused(RefusalCode::Running, words);
        }
        self.armed = None;
        self.expired = false;
        self.vip.renew();
        Reply::Done
    }

    fn may_start(&self) -> Result<(), Refusal> {
        if !self.starts {
            let words = "this guard ends the backend but something else starts it";
            return Err(Refusal::new(RefusalCode::NotAProcess, words));
        }
        match &self.backend {
            Backend::Up { pid, .. } => {
                let words = format!("the backend runs already, as process {pid}");
                return Err(Refusal::new(RefusalCode::Running, words));
            }
            Backend::Ending(_) => {
                let words = "the earlier backend is still being ended";
                return Err(Refusal::new(RefusalCode::Stopping, words));
            }
            Backend::Down { .. } => {}
        }
        let Some(armed) = &self.armed else {
            let words = "no deadline is armed: a backend must not run unguarded";
            return Err(Refusal::new(RefusalCode::NotArmed, words));
        };
        if self.expired {
            let words = format!("the lease of epoch {} has run out", armed.epoch);
            return Err(Refusal::new(RefusalCode::DeadlinePassed, words));
        }
        Ok(())
    }

    fn quit(&self, caller: Caller, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        match &self.backend {
            Backend::Up { .. } => {
                let words = "the backend runs: stop it first";
                return Err(Refusal::new(RefusalCode::Running, words));
            }
            Backend::Ending(_) => {
                let words = "the backend is still being ended";
                return Err(Refusal::new(RefusalCode::Stopping, words));
            }
            Backend::Down { .. } if self.vip.is_going() => {
                let words = "the virtual IP is still being taken off";
                return Err(Refusal::new(RefusalCode::Stopping, words));
            }
            Backend::Down { .. } if !self.starts && self.is_needed() => {
                let words = "a deadline is armed and the backend may run: disarm first";
                return Err(Refusal::new(RefusalCode::Running, words));
            }
            Backend::Down { .. } => {}
        }
        out.push(Effect::Reply { caller, reply: Reply::Done });
        out.push(Effect::Quit);
        Ok(())
    }
}
