//! One unit.

use std::time::Duration;

use tokio::time::timeout;

use crate::cgroup::{self, Seen};
use crate::job::Job;
use crate::link::{CALL_WITHIN, Link};
use crate::{ActiveState, Bus, UnitError, UnitState, Watch};

/// Between two looks at a unit that is ending.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Between two signals to what is left of a unit: a process that was just started is hit by the
/// next one.
const LOOKS_PER_KILL: u32 = 5;

const SIGKILL: i32 = 9;

/// A unit of one systemd. Clones share the connection, which is made again when it breaks.
#[derive(Debug, Clone)]
pub struct Unit {
    link: Link,
    name: String,
}

impl Unit {
    /// Connects to systemd. `name` may leave `.service` out.
    ///
    /// # Errors
    /// [`UnitError::Bus`] when systemd does not answer within seconds.
    pub async fn connect(bus: Bus, name: &str) -> Result<Self, UnitError> {
        let name = format!("{}.service", name.strip_suffix(".service").unwrap_or(name));
        let unit = Self { link: Link::new(bus), name };
        unit.link.manager().await.map_err(|source| unit.refused("connect to systemd", source))?;
        Ok(unit)
    }

    /// The full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it and returns when systemd calls it started, which is what `Type=` of the unit
    /// makes of it; a start limit that was hit is forgotten first. A unit that runs stays as it is.
    ///
    /// # Errors
    /// [`UnitError`]; after [`UnitError::TimedOut`] the start goes on until it is stopped.
    pub async fn start(&self, within: Duration) -> Result<(), UnitError> {
        let starting = async {
            self.check_loaded().await?;
            let manager = self.link.manager().await.map_err(|e| self.refused("start", e))?;
            // Whether it may be refused depends on the polkit rules, and nothing here does on it.
            if let Err(error) = manager.reset_failed_unit(&self.name).await {
                tracing::debug!(%error, unit = %self.name, "the start limit was not forgotten");
            }
            Job::Start.run(&self.link, &self.name).await?;
            self.check_met().await
        };
        self.bounded("start", within, starting).await
    }

    /// Stops it, and returns when nothing of it is left. A unit that is not there is stopped.
    ///
    /// # Errors
    /// [`UnitError::TimedOut`] when something is left: then [`Unit::kill`].
    pub async fn stop(&self, within: Duration) -> Result<(), UnitError> {
        let stopping = async {
            // systemd may forget the unit, and with it the cgroup, before the last process ends.
            let group = self.control_group().await?;
            // Also when it does not run: a start may be waiting for its turn.
            match Job::Stop.run(&self.link, &self.name).await {
                Ok(()) | Err(UnitError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
            while !self.gone(&group).await? {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        self.bounded("stop", within, stopping).await
    }

    /// Sends SIGKILL to everything in it until nothing is left, and keeps systemd from starting
    /// it again.
    ///
    /// # Errors
    /// [`UnitError::TimedOut`] when something is left. The others of [`Unit::stop`].
    pub async fn kill(&self, within: Duration) -> Result<(), UnitError> {
        self.bounded("end", within, self.kill_until_gone()).await
    }

    async fn kill_until_gone(&self) -> Result<(), UnitError> {
        let refused = |source| self.refused("kill", source);
        let group = self.control_group().await?;
        let manager = self.link.manager().await.map_err(refused)?;
        // First the job: while it is there, Restart= starts nothing.
        match manager.stop_unit(&self.name, "replace").await.map_err(refused) {
            Ok(_job) => {}
            Err(UnitError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        loop {
            match manager.kill_unit(&self.name, "all", SIGKILL).await.map_err(refused) {
                Ok(()) => {}
                Err(error @ UnitError::Denied { .. }) => return Err(error),
                // Refused also when there is nothing to kill: the look decides.
                Err(error) => tracing::debug!(?error, unit = %self.name, "kill"),
            }
            for _ in 0..LOOKS_PER_KILL {
                if self.gone(&group).await? {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// What it is doing at this moment.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn state(&self) -> Result<UnitState, UnitError> {
        let measuring = async {
            let (unit, service) = self.link.objects(&self.name).await?;
            Ok(UnitState {
                active: ActiveState::parse(&unit.active_state().await?),
                sub: unit.sub_state().await?,
                load: unit.load_state().await?,
                active_since_us: unit.active_enter_timestamp_monotonic().await?,
                result: service.result().await?,
                exit_status: service.exec_main_status().await?,
                main_pid: service.main_pid().await?,
            })
        };
        let doing = "say what it does";
        let measuring = async { measuring.await.map_err(|source| self.refused(doing, source)) };
        self.bounded(doing, CALL_WITHIN, measuring).await
    }

    /// Its state as it changes from now on.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn watch(&self) -> Result<Watch, UnitError> {
        Watch::start(self.clone()).await
    }

    /// Whether no process of it is left and systemd is not about to start one, as measured.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn is_gone(&self) -> Result<bool, UnitError> {
        let looking = async { self.gone(&self.control_group().await?).await };
        self.bounded("say what is left", CALL_WITHIN, looking).await
    }

    /// Whether no process is left in its cgroup, as measured; systemd may start one again.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn cgroup_empty(&self) -> Result<bool, UnitError> {
        let looking = async { self.empty(&self.control_group().await?).await };
        self.bounded("say what is left", CALL_WITHIN, looking).await
    }

    pub(crate) async fn changes(&self) -> Result<zbus::fdo::PropertiesChangedStream, UnitError> {
        let doing = "be watched";
        let asking = async {
            self.link.changes(&self.name).await.map_err(|source| self.refused(doing, source))
        };
        self.bounded(doing, CALL_WITHIN, asking).await
    }

    /// [`Unit::is_gone`], also of the cgroup that the unit had before.
    async fn gone(&self, group: &str) -> Result<bool, UnitError> {
        if cgroup::look(group) == Seen::Populated {
            return Ok(false);
        }
        let failed = |source| self.refused("look at the unit", source);
        let (unit, service) = self.link.objects(&self.name).await.map_err(failed)?;
        let down = ActiveState::parse(&unit.active_state().await.map_err(failed)?).is_down();
        let (job, _) = unit.job().await.map_err(failed)?;
        let group = service.control_group().await.map_err(failed)?;
        Ok(down && job == 0 && self.empty(&group).await?)
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

    async fn control_group(&self) -> Result<String, UnitError> {
        let failed = |source| self.refused("look at the unit", source);
        let (_, service) = self.link.objects(&self.name).await.map_err(failed)?;
        service.control_group().await.map_err(failed)
    }

    async fn check_loaded(&self) -> Result<(), UnitError> {
        let unit = self.name.clone();
        match self.state().await?.load.as_str() {
            "not-found" => Err(UnitError::Missing { unit }),
            "masked" => Err(UnitError::Masked { unit }),
            "bad-setting" | "error" => Err(UnitError::Broken { unit }),
            _other => Ok(()),
        }
    }

    /// systemd calls a start done that a condition has kept from happening.
    async fn check_met(&self) -> Result<(), UnitError> {
        let failed = |source| self.refused("look at the unit", source);
        let (unit, _) = self.link.objects(&self.name).await.map_err(failed)?;
        let met = unit.condition_result().await.map_err(failed)?;
        let down = ActiveState::parse(&unit.active_state().await.map_err(failed)?).is_down();
        if down && !met { Err(UnitError::Unmet { unit: self.name.clone() }) } else { Ok(()) }
    }

    async fn bounded<T>(
        &self,
        doing: &'static str,
        within: Duration,
        work: impl Future<Output = Result<T, UnitError>>,
    ) -> Result<T, UnitError> {
        match timeout(within, work).await {
            Ok(result) => result,
            Err(_elapsed) => Err(UnitError::TimedOut { doing, unit: self.name.clone(), within }),
        }
    }

    fn refused(&self, doing: &'static str, source: zbus::Error) -> UnitError {
        UnitError::from_bus(doing, &self.name, source)
    }
}
