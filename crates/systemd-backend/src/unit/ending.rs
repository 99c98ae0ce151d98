//! The end of a unit: asked for, enforced, and seen.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use super::Unit;
use crate::cgroup::{self, Seen};
use crate::decide::{Asked, Press, Pressed, verdict};
use crate::job::Job;
use crate::{ActiveState, Patience, UnitError, Verdict, direct};

const SIGKILL: i32 = 9;

/// How long one call may take while a unit is being ended; less where something is due before.
const CALL_WITHIN: Duration = Duration::from_millis(500);

/// What a call gets even when something is due.
const CALL_AT_LEAST: Duration = Duration::from_millis(100);

/// Before a call is made again that has failed.
const AGAIN: Duration = Duration::from_millis(20);

/// Where units of the system are unless they say otherwise (`Slice=`).
const USUAL_SLICE: &str = "/system.slice";

/// What is left of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing, and nothing is about to come.
    Nothing,
    /// systemd calls it down, and processes are left in its cgroup.
    Strays,
    /// It runs, or an automatic restart is about to change that.
    Running,
    /// The same, and a job is under way.
    Changing,
}

impl Unit {
    /// Stops it, and returns when nothing of it is left. A unit that is not there is stopped.
    ///
    /// # Errors
    /// [`UnitError::TimedOut`] when something is left: then [`Unit::kill`].
    pub async fn stop(&self, within: Duration) -> Result<(), UnitError> {
        self.end(Patience::asking(within)).await
    }

    /// Sends SIGKILL to everything in it until nothing is left, and keeps systemd from starting
    /// it again.
    ///
    /// # Errors
    /// [`UnitError::TimedOut`] when something is left. The others of [`Unit::stop`].
    pub async fn kill(&self, within: Duration) -> Result<(), UnitError> {
        self.end(Patience::killing(within)).await
    }

    /// Stops it, kills it when that takes too long, and returns when nothing of it is left.
    ///
    /// Nobody's start takes the place of the stop meanwhile. While the bus is away, systemd is
    /// asked without it, and where systemd itself does not answer when the grace is over, the
    /// processes are killed without it: both as far as this user may.
    ///
    /// # Errors
    /// [`UnitError::TimedOut`] when something is left, [`UnitError::Denied`] at once.
    pub async fn end(&self, patience: Patience) -> Result<(), UnitError> {
        let mut ending = Ending::new(self, patience);
        loop {
            match patience.next(ending.look().await?) {
                Press::Done => return Ok(()),
                Press::GiveUp => {
                    let doing = if patience.grace == patience.within { "stop" } else { "end" };
                    return Err(self.timed_out(doing, patience.within));
                }
                Press::Ask => ending.ask().await?,
                Press::Kill => ending.kill().await?,
                Press::KillDirectly => ending.kill_directly(),
                Press::Wait(pause) => ending.wait(pause).await,
            }
        }
    }

    /// Whether no process of it is left and systemd is not about to start one, as measured. While
    /// the bus is away, systemd is asked without it, as far as this user may.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn is_gone(&self) -> Result<bool, UnitError> {
        let doing = "say what is left";
        let left = match self.bounded(doing, crate::link::CALL_WITHIN, self.left()).await {
            Ok(left) => left,
            Err(error) => {
                let asking = async { Ok(self.left_directly().await) };
                let left = self.bounded(doing, CALL_WITHIN, asking).await;
                left.unwrap_or(None).ok_or(error)?
            }
        };
        Ok(left == Left::Nothing)
    }

    /// Whether no process is left in its cgroup, as measured; systemd may start one again.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn cgroup_empty(&self) -> Result<bool, UnitError> {
        let looking = async {
            let asking = async {
                let (_, service) = self.link.objects(&self.name).await?;
                service.control_group().await
            };
            let group = asking.await.map_err(|source| self.refused("look at the unit", source))?;
            self.note_group(&group);
            self.empty(&group).await
        };
        self.bounded("say what is left", crate::link::CALL_WITHIN, looking).await
    }

    pub(super) async fn left(&self) -> Result<Left, UnitError> {
        let known = self.known_group();
        let asking = async {
            let (unit, service) = self.link.objects(&self.name).await?;
            let active = ActiveState::parse(&unit.active_state().await?);
            let verdict = verdict(active, &unit.sub_state().await?);
            let (job, _) = unit.job().await?;
            Ok((verdict, job, service.control_group().await?))
        };
        let asked = asking.await.map_err(|source| self.refused("look at the unit", source));
        let (verdict, job, group) = asked?;
        self.note_group(&group);
        if let Some(left) = of_systemd(verdict, job != 0) {
            return Ok(left);
        }
        let empty = cgroup::look(&known) != Seen::Populated && self.empty(&group).await?;
        Ok(if empty { Left::Nothing } else { Left::Strays })
    }

    /// The same without the bus; `None` when nobody can say.
    async fn left_directly(&self) -> Option<Left> {
        let known = self.known_group();
        let shown = direct::show(self.link.bus(), &self.name).await?;
        self.note_group(&shown.group);
        if let Some(left) = of_systemd(shown.verdict, shown.job) {
            return Some(left);
        }
        match (cgroup::look(&known), cgroup::look(&shown.group)) {
            (Seen::Populated, _) | (_, Seen::Populated) => Some(Left::Strays),
            (Seen::Empty | Seen::Nothing, Seen::Empty) => Some(Left::Nothing),
            (Seen::Empty | Seen::Nothing, Seen::Nothing) if shown.group.is_empty() => {
                Some(Left::Nothing)
            }
            // Out of our sight.
            (Seen::Empty | Seen::Nothing, Seen::Nothing) => None,
        }
    }

    async fn empty(&self, group: &str) -> Result<bool, UnitError> {
        match cgroup::look(group) {
            Seen::Empty => Ok(true),
            Seen::Populated => Ok(false),
            Seen::Nothing if group.is_empty() => Ok(true),
            // Gone, or out of our sight, as in a container: systemd sees it.
            Seen::Nothing => {
                let failed = |source| self.refused("look at the unit", source);
                let manager = self.link.manager().await.map_err(failed)?;
                match manager.get_unit_processes(&self.name).await.map_err(failed) {
                    Ok(processes) => Ok(processes.is_empty()),
                    Err(UnitError::Missing { .. }) => Ok(true),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// What is left by systemd's word; `None` when it takes a look at the cgroup.
fn of_systemd(verdict: Verdict, job: bool) -> Option<Left> {
    match verdict {
        Verdict::Down | Verdict::Failed => job.then_some(Left::Changing),
        Verdict::Up | Verdict::Starting | Verdict::Restarting | Verdict::Stopping => {
            Some(if job { Left::Changing } else { Left::Running })
        }
    }
}

/// A unit that is being ended.
struct Ending<'a> {
    unit: &'a Unit,
    patience: Patience,
    began: Instant,
    pressed: Pressed,
    /// The bus did not answer last.
    away: bool,
    job: Option<BoxFuture<'static, Result<(), UnitError>>>,
}

impl<'a> Ending<'a> {
    fn new(unit: &'a Unit, patience: Patience) -> Self {
        let pressed = Pressed::default();
        Self { unit, patience, began: Instant::now(), pressed, away: false, job: None }
    }

    async fn look(&mut self) -> Result<Pressed, UnitError> {
        let left = match self.call("say what is left", self.unit.left()).await {
            Ok(left) => {
                self.away = false;
                Some(left)
            }
            Err(error @ UnitError::Denied { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(?error, unit = %self.unit.name, "what is left of it?");
                self.away = true;
                // The connection may be there still and lead nowhere.
                self.unit.link.forget();
                let unit = self.unit;
                let asking = async move { Ok(unit.left_directly().await) };
                self.call("say what is left", asking).await.unwrap_or(None)
            }
        };
        // The job is over, and somebody has started it since.
        if left == Some(Left::Running) && self.job.is_none() {
            self.pressed.asked = false;
        }
        self.pressed.elapsed = self.began.elapsed();
        self.pressed.gone = left.map(|left| left == Left::Nothing);
        Ok(self.pressed)
    }

    /// Bounded by what is due next.
    fn call<T, W: Future<Output = Result<T, UnitError>>>(
        &self,
        doing: &'static str,
        work: W,
    ) -> impl Future<Output = Result<T, UnitError>> + use<'a, T, W> {
        let elapsed = self.began.elapsed();
        let due = self.patience.grace.checked_sub(elapsed);
        let due = due.unwrap_or_else(|| self.patience.within.saturating_sub(elapsed));
        // Half of it, so that there is time for what is done without an answer.
        let within = CALL_WITHIN.min((due / 2).max(CALL_AT_LEAST));
        self.unit.bounded(doing, within, work)
    }

    /// Also when it does not run: a start may be waiting for its turn.
    async fn ask(&mut self) -> Result<(), UnitError> {
        let Unit { link, name, .. } = self.unit;
        if self.away {
            let asking = async { Ok(direct::stop(link.bus(), name).await) };
            let asked = self.call("stop", asking).await.unwrap_or(false);
            self.pressed.asked = asked;
            // Its end is seen by looking.
            sleep(AGAIN).await;
            return Ok(());
        }
        match self.call("stop", Job::queue(Asked::Stop, link, name)).await {
            Ok(job) => {
                self.job = Some(Box::pin(job.ended()));
                self.pressed.asked = true;
            }
            Err(UnitError::Missing { .. }) => self.pressed.asked = true,
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => {
                tracing::debug!(?error, unit = %self.unit.name, "it was not asked to stop");
                sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    async fn kill(&mut self) -> Result<(), UnitError> {
        self.pressed.killed = Some(self.pressed.elapsed);
        let (unit, away) = (self.unit, self.away);
        let Unit { link, name, .. } = unit;
        let killing = async move {
            if away {
                direct::kill(link.bus(), name).await;
                return Ok(());
            }
            let refused = |source| unit.refused("kill", source);
            let manager = link.manager().await.map_err(refused)?;
            manager.kill_unit(name, "all", SIGKILL).await.map_err(refused)
        };
        match self.call("be killed", killing).await {
            Ok(()) => {}
            Err(error @ UnitError::Denied { .. }) => return Err(error),
            // Refused also when there is nothing to kill: the look decides.
            Err(error) => tracing::debug!(?error, unit = %name, "kill"),
        }
        Ok(())
    }

    fn kill_directly(&mut self) {
        self.pressed.killed = Some(self.pressed.elapsed);
        let name = &self.unit.name;
        let known = self.unit.known_group();
        let group = if known.is_empty() { format!("{USUAL_SLICE}/{name}") } else { known };
        let killed = cgroup::kill(&group, name);
        tracing::debug!(unit = %name, group, killed, "systemd does not answer: killed without it");
    }

    async fn wait(&mut self, pause: Duration) {
        let Some(job) = &mut self.job else { return sleep(pause).await };
        let Ok(ended) = timeout(pause, job).await else { return };
        self.job = None;
        if let Err(error) = ended {
            tracing::debug!(?error, unit = %self.unit.name, "the stop job has ended");
            self.pressed.asked =
                !matches!(error, UnitError::Replaced { .. } | UnitError::Bus { .. });
            sleep(pause).await;
        }
    }
}
