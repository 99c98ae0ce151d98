//! One port for both kinds of backend.

use std::sync::Arc;
use std::time::Duration;

use ccm_guard::{BackendState, GuardError};
use ccm_health::{Probe, Verdict};
use ccm_role::Outcome;
use ccm_systemd_backend::{Patience, Unit, UnitError, Verdict as UnitVerdict};
use ccm_types::{BootClock, Monotonic};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{GuardLink, Watched};
use crate::outcome;

/// Between two looks at a backend that is starting.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Added to a grace: what the kill and the reaping after it may take.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Who runs the backend, and how long it may take.
#[derive(Debug)]
pub(crate) struct BackendPort {
    pub(crate) runner: Runner,
    pub(crate) watched: watch::Receiver<Watched>,
    pub(crate) start_timeout: Duration,
    pub(crate) stop_timeout: Duration,
}

/// Who runs the backend.
#[derive(Debug)]
pub(crate) enum Runner {
    /// The guard, as its child.
    Process {
        /// The way to it.
        guard: Arc<GuardLink>,
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// systemd; a guard, if there is one, only keeps the deadline.
    Systemd {
        /// The unit.
        unit: Unit,
        /// The way to the guard.
        guard: Option<Arc<GuardLink>>,
    },
}

/// What was measured at the moment of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    /// `running`, `stopped`, `starting`, `stopping`, `failed`, `unhealthy` or `unknown`.
    pub(crate) status: &'static str,
    /// How long it has been running.
    pub(crate) uptime: Duration,
}

impl Measured {
    fn not_running(status: &'static str) -> Self {
        Self { status, uptime: Duration::ZERO }
    }
}

impl BackendPort {
    /// The guard that keeps the deadline.
    pub(crate) fn guard(&self) -> Option<&Arc<GuardLink>> {
        match &self.runner {
            Runner::Process { guard, .. } => Some(guard),
            Runner::Systemd { guard, .. } => guard.as_ref(),
        }
    }

    /// What asks it whether it is well.
    fn probe(&self) -> Option<Probe> {
        self.watched.borrow().probe.clone()
    }

    /// Starts it and waits for the first healthy answer.
    pub(crate) async fn start(&self) -> Outcome {
        let deadline = Instant::now() + self.start_timeout;
        if let Err(outcome) = self.arm().await {
            return outcome;
        }
        let started = match &self.runner {
            Runner::Process { guard, argv } => match guard.client().await {
                Some(client) => match client.start(argv).await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(of_guard(&error)),
                },
                None => Err(no_guard()),
            },
            Runner::Systemd { unit, .. } => start_unit(unit, self.start_timeout).await,
        };
        if let Err(outcome) = started {
            return outcome;
        }
        self.wait_healthy(deadline).await
    }

    /// The guard knows the deadline before anything runs.
    async fn arm(&self) -> Result<(), Outcome> {
        let Some(guard) = self.guard() else { return Ok(()) };
        let armed = guard.armed();
        let armed = armed
            .ok_or_else(|| Outcome::Transient(String::from("no lease covers the backend yet")))?;
        let client = guard.client().await.ok_or_else(no_guard)?;
        client.arm(armed).await.map_err(|error| of_guard(&error))
    }

    async fn wait_healthy(&self, deadline: Instant) -> Outcome {
        let mut why = String::from("it was not asked yet");
        while Instant::now() < deadline {
            if let Some(ended) = self.ended().await {
                return Outcome::Transient(format!("the backend ended while starting: {ended}"));
            }
            let Some(probe) = self.probe() else { return Outcome::Ok };
            match probe.check().await {
                Verdict::Healthy { .. } => return Outcome::Ok,
                Verdict::Unhealthy { why: answer } => why = answer,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let within = self.start_timeout;
        Outcome::Transient(format!("the backend was not healthy {within:?} after its start: {why}"))
    }

    /// How a backend that should run has ended.
    async fn ended(&self) -> Option<String> {
        match &self.runner {
            Runner::Process { guard, .. } => {
                match guard.client().await?.hello().await.ok()?.backend {
                    BackendState::Exited { why } => Some(why),
                    BackendState::Stopped => Some(String::from("it is stopped")),
                    BackendState::Running { .. }
                    | BackendState::Stopping
                    | BackendState::External => None,
                }
            }
            Runner::Systemd { unit, .. } => {
                let state = unit.state().await.ok()?;
                match state.verdict() {
                    UnitVerdict::Down | UnitVerdict::Failed | UnitVerdict::Restarting => {
                        Some(format!("{}{}", state.in_words(), unit.last_lines().await))
                    }
                    UnitVerdict::Up | UnitVerdict::Starting | UnitVerdict::Stopping => None,
                }
            }
        }
    }

    /// Stops it with the configured grace; nothing of it is left afterwards.
    pub(crate) async fn stop(&self) -> Outcome {
        match &self.runner {
            Runner::Process { guard, .. } => match guard.client().await {
                Some(client) => done(client.stop(self.stop_timeout).await),
                None => no_guard(),
            },
            Runner::Systemd { unit, .. } => end_unit(unit, self.stop_timeout).await,
        }
    }

    /// Stops it so that nothing of it is left at `gone_by`.
    pub(crate) async fn kill(&self, gone_by: Monotonic) -> Outcome {
        match &self.runner {
            Runner::Process { guard, .. } => match guard.client().await {
                Some(client) => done(client.kill(gone_by).await),
                None => no_guard(),
            },
            Runner::Systemd { unit, .. } => {
                end_unit(unit, gone_by.since(BootClock.now()) / 2).await
            }
        }
    }

    /// What it is doing, measured.
    pub(crate) async fn measure(&self) -> Measured {
        let measured = match &self.runner {
            Runner::Process { guard, .. } => {
                let Some(client) = guard.client().await else {
                    return Measured::not_running("unknown");
                };
                match client.hello().await.map(|hello| hello.backend) {
                    Ok(BackendState::Running { since, .. }) => {
                        Measured { status: "running", uptime: BootClock.now().since(since) }
                    }
                    Ok(BackendState::Stopped) => Measured::not_running("stopped"),
                    Ok(BackendState::Stopping) => Measured::not_running("stopping"),
                    Ok(BackendState::Exited { .. }) => Measured::not_running("failed"),
                    Ok(BackendState::External) | Err(_) => Measured::not_running("unknown"),
                }
            }
            Runner::Systemd { unit, .. } => match unit.state().await {
                Ok(state) => match state.verdict() {
                    UnitVerdict::Up => Measured { status: "running", uptime: state.uptime() },
                    UnitVerdict::Starting => Measured::not_running("starting"),
                    UnitVerdict::Stopping => Measured::not_running("stopping"),
                    UnitVerdict::Down => Measured::not_running("stopped"),
                    UnitVerdict::Failed | UnitVerdict::Restarting => {
                        Measured::not_running("failed")
                    }
                },
                Err(_) => Measured::not_running("unknown"),
            },
        };
        match (measured.status, self.probe()) {
            ("running", Some(probe)) => match probe.check().await {
                Verdict::Healthy { .. } => measured,
                Verdict::Unhealthy { .. } => Measured { status: "unhealthy", ..measured },
            },
            (_, Some(_) | None) => measured,
        }
    }
}

/// Whatever is there was not started for this leadership: it has other files open.
async fn start_unit(unit: &Unit, within: Duration) -> Result<(), Outcome> {
    let starting = async {
        if !unit.is_gone().await? {
            tracing::warn!(
                unit = unit.name(),
                "something else has started the backend: it is ended"
            );
            unit.end(Patience { grace: AFTER_KILL, within: AFTER_KILL * 2 }).await?;
        }
        unit.start(within).await
    };
    starting.await.map_err(|error| of_unit(&error))
}

/// SIGTERM and what the unit says, after the grace SIGKILL; nothing of it is left afterwards.
async fn end_unit(unit: &Unit, grace: Duration) -> Outcome {
    let began = Instant::now();
    match unit.end(Patience { grace, within: grace + AFTER_KILL }).await {
        Ok(()) => {
            let took = began.elapsed();
            if took > grace {
                tracing::warn!(unit = unit.name(), ?grace, ?took, "the backend had to be killed");
            }
            Outcome::Ok
        }
        Err(error) => of_unit(&error),
    }
}

fn done(result: Result<(), GuardError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Ok,
        Err(error) => of_guard(&error),
    }
}

fn no_guard() -> Outcome {
    Outcome::Transient(String::from("the guard does not answer"))
}

fn of_guard(error: &GuardError) -> Outcome {
    Outcome::Transient(outcome::words(error))
}

fn of_unit(error: &UnitError) -> Outcome {
    if error.is_transient() {
        Outcome::Transient(outcome::words(error))
    } else {
        Outcome::Permanent(outcome::words(error))
    }
}
