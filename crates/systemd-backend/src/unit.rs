//! One unit.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use zbus::{Connection, OwnedObjectPath};

use crate::bus::{Bus, ChangesProxy, ManagerProxy, ServiceObjectProxy, UnitObjectProxy};
use crate::{ActiveState, UnitError, UnitState, cgroup};

/// Between two looks at a cgroup that is emptying.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const SIGKILL: i32 = 9;

/// A unit of one systemd.
#[derive(Debug, Clone)]
pub struct Unit {
    connection: Connection,
    name: String,
}

impl Unit {
    /// Connects to systemd. `name` may leave `.service` out.
    ///
    /// # Errors
    /// [`UnitError::Bus`].
    pub async fn connect(bus: Bus, name: &str) -> Result<Self, UnitError> {
        let connection = bus.connect().await.map_err(bus_error("connect to systemd"))?;
        let suffix = if name.contains('.') { "" } else { ".service" };
        let unit = Self { connection, name: format!("{name}{suffix}") };
        let manager = unit.manager().await?;
        // Without it systemd sends no signals.
        manager.subscribe().await.map_err(bus_error("subscribe to systemd"))?;
        Ok(unit)
    }

    /// The full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it and waits for the job; a start limit that was hit is forgotten first.
    ///
    /// # Errors
    /// [`UnitError`].
    pub async fn start(&self, within: Duration) -> Result<(), UnitError> {
        self.check_loaded().await?;
        let manager = self.manager().await?;
        // Refused for a unit that has not failed.
        manager.reset_failed_unit(&self.name).await.ok();
        self.job("start", within).await
    }

    /// Stops it, waits for the job and until nothing of it is left.
    ///
    /// # Errors
    /// [`UnitError::TimedOut`] when something is left: then [`Unit::kill`].
    pub async fn stop(&self, within: Duration) -> Result<(), UnitError> {
        let deadline = Instant::now() + within;
        let state = self.state().await?;
        if state.load == "not-found" {
            return Ok(());
        }
        let group = self.control_group().await?;
        if state.active != ActiveState::Inactive && state.active != ActiveState::Failed {
            self.job("stop", within).await?;
        }
        self.wait_empty("stop", group, deadline, within).await
    }

    /// Sends SIGKILL to everything in it and waits until nothing is left.
    ///
    /// # Errors
    /// [`UnitError::TimedOut`] when something is left.
    pub async fn kill(&self, within: Duration) -> Result<(), UnitError> {
        let deadline = Instant::now() + within;
        let group = self.control_group().await?;
        let manager = self.manager().await?;
        // Refused when there is nothing to kill.
        if let Err(error) = manager.kill_unit(&self.name, "all", SIGKILL).await {
            tracing::debug!(%error, unit = %self.name, "kill");
        }
        // A unit with Restart= must not come back.
        let stopped = self.job("stop", within).await;
        self.wait_empty("end", group, deadline, within).await?;
        stopped
    }

    /// What it is doing at this moment.
    ///
    /// # Errors
    /// [`UnitError::Bus`].
    pub async fn state(&self) -> Result<UnitState, UnitError> {
        let failed = bus_error("look at the unit");
        let path = self.path().await?;
        let unit = UnitObjectProxy::builder(&self.connection)
            .path(path)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(&failed)?;
        let service = self.service().await?;
        Ok(UnitState {
            active: ActiveState::parse(&unit.active_state().await.map_err(&failed)?),
            sub: unit.sub_state().await.map_err(&failed)?,
            load: unit.load_state().await.map_err(&failed)?,
            active_since_us: unit.active_enter_timestamp_monotonic().await.map_err(&failed)?,
            result: service.result().await.map_err(&failed)?,
            main_pid: service.main_pid().await.map_err(&failed)?,
        })
    }

    /// Returns when the unit's state may have changed, or after `at_most`.
    ///
    /// # Errors
    /// [`UnitError::Bus`].
    pub async fn changed(&self, at_most: Duration) -> Result<(), UnitError> {
        let failed = bus_error("watch the unit");
        let path = self.path().await?;
        let changes =
            ChangesProxy::builder(&self.connection).path(path).build().await.map_err(&failed)?;
        let mut news = changes.receive_properties_changed().await.map_err(&failed)?;
        // Elapsed is the answer "look anyway".
        tokio::time::timeout(at_most, news.next()).await.ok();
        Ok(())
    }

    /// Whether nothing of it is left, as measured.
    ///
    /// # Errors
    /// [`UnitError::Bus`].
    pub async fn is_gone(&self) -> Result<bool, UnitError> {
        Ok(cgroup::is_empty(&self.control_group().await?))
    }

    /// Runs a job and waits for its end.
    async fn job(&self, doing: &'static str, within: Duration) -> Result<(), UnitError> {
        let deadline = Instant::now() + within;
        let manager = self.manager().await?;
        let failed = bus_error("wait for a job of systemd");
        // Before the job is made, or its end could be missed.
        let mut ended = manager.receive_job_removed().await.map_err(&failed)?;
        let made = match doing {
            "start" => manager.start_unit(&self.name, "replace").await,
            _stop => manager.stop_unit(&self.name, "replace").await,
        };
        let job = made.map_err(|error| self.refused(doing, error))?;
        loop {
            let signal = match timeout_at(deadline, ended.next()).await {
                Ok(Some(signal)) => signal,
                Ok(None) | Err(_) => return Err(self.timed_out(doing, within)),
            };
            let Ok(args) = signal.args() else { continue };
            if args.job != job {
                continue;
            }
            if args.result == "done" || args.result == "skipped" {
                return Ok(());
            }
            let (job, unit) = (args.result.clone(), self.name.clone());
            let result = self.state().await.map_or_else(|_| String::new(), |s| s.result);
            return Err(UnitError::Failed { doing, unit, job, result });
        }
    }

    async fn check_loaded(&self) -> Result<(), UnitError> {
        let unit = self.name.clone();
        match self.state().await?.load.as_str() {
            "not-found" => Err(UnitError::Missing { unit }),
            "masked" => Err(UnitError::Masked { unit }),
            _other => Ok(()),
        }
    }

    async fn wait_empty(
        &self,
        doing: &'static str,
        group: String,
        deadline: Instant,
        within: Duration,
    ) -> Result<(), UnitError> {
        while !cgroup::is_empty(&group) {
            if Instant::now() >= deadline {
                return Err(self.timed_out(doing, within));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn control_group(&self) -> Result<String, UnitError> {
        let group = self.service().await?.control_group().await;
        group.map_err(bus_error("find the unit's cgroup"))
    }

    async fn service(&self) -> Result<ServiceObjectProxy<'_>, UnitError> {
        let failed = bus_error("look at the unit");
        let path = self.path().await?;
        ServiceObjectProxy::builder(&self.connection)
            .path(path)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(&failed)
    }

    async fn path(&self) -> Result<OwnedObjectPath, UnitError> {
        let manager = self.manager().await?;
        manager.load_unit(&self.name).await.map_err(bus_error("load the unit"))
    }

    async fn manager(&self) -> Result<ManagerProxy<'_>, UnitError> {
        ManagerProxy::new(&self.connection).await.map_err(bus_error("reach systemd"))
    }

    fn timed_out(&self, doing: &'static str, within: Duration) -> UnitError {
        UnitError::TimedOut { doing, unit: self.name.clone(), within }
    }

    /// What systemd says to a job that it does not take.
    fn refused(&self, doing: &'static str, source: zbus::Error) -> UnitError {
        let unit = self.name.clone();
        let name =
            if let zbus::Error::MethodError(name, _, _) = &source { name.as_str() } else { "" };
        match name {
            "org.freedesktop.systemd1.NoSuchUnit" => UnitError::Missing { unit },
            "org.freedesktop.systemd1.UnitMasked" => UnitError::Masked { unit },
            "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
            | "org.freedesktop.DBus.Error.AccessDenied" => UnitError::Denied { doing, unit },
            _other => UnitError::Bus { doing, source },
        }
    }
}

fn bus_error(doing: &'static str) -> impl Fn(zbus::Error) -> UnitError {
    move |source| UnitError::Bus { doing, source }
}
