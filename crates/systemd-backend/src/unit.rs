//! One unit.

mod boot;
mod ending;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::decide::{Asked, verdict};
use crate::job::Job;
use crate::link::{CALL_WITHIN, Link};
use crate::{ActiveState, Bus, LastLines, Patience, UnitError, UnitState, Verdict, Watch};
use ending::Left;

/// How long what an earlier run has left in the cgroup may take to die of SIGKILL.
const STRAYS_WITHIN: Duration = Duration::from_secs(5);

/// A unit of one systemd. Clones share the connection, which is made again when it breaks.
#[derive(Debug, Clone)]
pub struct Unit {
    link: Link,
    name: String,
    /// Its cgroup as systemd named it last: systemd may forget it before the last process ends.
    group: Arc<Mutex<String>>,
}

impl Unit {
    /// Connects to systemd. `name` may leave `.service` out.
    ///
    /// # Errors
    /// [`UnitError::Bus`] when systemd does not answer within seconds.
    pub async fn connect(bus: Bus, name: &str) -> Result<Self, UnitError> {
        let unit = Self::new(bus, name);
        unit.link.manager().await.map_err(|source| unit.refused("connect to systemd", source))?;
        Ok(unit)
    }

    /// Does not ask systemd for anything yet. `name` may leave `.service` out.
    #[must_use]
    pub fn new(bus: Bus, name: &str) -> Self {
        let name = format!("{}.service", name.strip_suffix(".service").unwrap_or(name));
        Self { link: Link::new(bus), name, group: Arc::default() }
    }

    /// The full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it and returns when systemd calls it started, which is what `Type=` of the unit
    /// makes of it. A unit that runs stays as it is.
    ///
    /// What an earlier run has left in its cgroup is killed first: two of them would have the
    /// same files open. A start limit that was hit is forgotten first, because it counts the
    /// starts of a unit that moves to and fro as well as those of one that fails; how often a
    /// unit is started that fails is for the caller to bound.
    ///
    /// # Errors
    /// [`UnitError`]; after [`UnitError::TimedOut`] the start goes on until it is stopped.
    pub async fn start(&self, within: Duration) -> Result<(), UnitError> {
        let starting = async {
            self.usable().await?;
            if self.left().await? == Left::Strays {
                tracing::warn!(unit = %self.name, "processes of an earlier run are left: killed");
                self.end(Patience::killing(STRAYS_WITHIN)).await?;
            }
            let manager = self.link.manager().await.map_err(|e| self.refused("start", e))?;
            // Whether it may be refused depends on the polkit rules, and nothing here does on it.
            if let Err(error) = manager.reset_failed_unit(&self.name).await {
                tracing::debug!(%error, unit = %self.name, "the start limit was not forgotten");
            }
            Job::queue(Asked::Start, &self.link, &self.name).await?.ended().await?;
            self.check_met().await
        };
        self.bounded("start", within, starting).await
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
                exit_code: service.exec_main_code().await?,
                exit_status: service.exec_main_status().await?,
                restarts: service.n_restarts().await?,
                main_pid: service.main_pid().await?,
            })
        };
        self.looking("say what it does", measuring).await
    }

    /// Its state as it changes from now on.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn watch(&self) -> Result<Watch, UnitError> {
        Watch::start(self.clone()).await
    }

    /// What its last run wrote to the journal, where this user may read that: not without
    /// membership in `systemd-journal` or `adm`. Takes a second at most.
    pub async fn last_lines(&self) -> LastLines {
        let asking = async { self.link.objects(&self.name).await?.0.invocation_id().await };
        match self.looking("say which run was its last", asking).await {
            Ok(id) => LastLines::read(&self.name, &id).await,
            Err(error) => {
                tracing::debug!(%error, unit = %self.name, "which lines are its last?");
                LastLines::default()
            }
        }
    }

    /// Whether it can be started, as far as that can be known before: its file is there, is no
    /// mask and makes sense.
    ///
    /// # Errors
    /// [`UnitError::Missing`], [`UnitError::Masked`], [`UnitError::Broken`], [`UnitError::Bus`],
    /// [`UnitError::TimedOut`].
    pub async fn usable(&self) -> Result<(), UnitError> {
        let unit = self.name.clone();
        match self.state().await?.load.as_str() {
            "not-found" => Err(UnitError::Missing { unit }),
            "masked" => Err(UnitError::Masked { unit }),
            "bad-setting" | "error" => Err(UnitError::Broken { unit }),
            _other => Ok(()),
        }
    }

    pub(crate) async fn changes(&self) -> Result<zbus::fdo::PropertiesChangedStream, UnitError> {
        self.looking("be watched", self.link.changes(&self.name)).await
    }

    /// systemd calls a start done that a condition has kept from happening.
    async fn check_met(&self) -> Result<(), UnitError> {
        let asking = async {
            let (unit, _) = self.link.objects(&self.name).await?;
            let active = ActiveState::parse(&unit.active_state().await?);
            let verdict = verdict(active, &unit.sub_state().await?);
            Ok((verdict, unit.condition_result().await?))
        };
        match self.looking("say whether it has started", asking).await? {
            (Verdict::Down | Verdict::Failed, false) => {
                Err(UnitError::Unmet { unit: self.name.clone() })
            }
            (
                Verdict::Down
                | Verdict::Failed
                | Verdict::Up
                | Verdict::Starting
                | Verdict::Restarting
                | Verdict::Stopping,
                _,
            ) => Ok(()),
        }
    }

    /// The cgroup that systemd named last.
    fn known_group(&self) -> String {
        self.group.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_group(&self, group: &str) {
        if !group.is_empty() {
            *self.group.lock().unwrap_or_else(PoisonError::into_inner) = String::from(group);
        }
    }

    /// A question to systemd, which answers within seconds or is away.
    async fn looking<T>(
        &self,
        doing: &'static str,
        asking: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, UnitError> {
        let asking = async { asking.await.map_err(|source| self.refused(doing, source)) };
        self.bounded(doing, CALL_WITHIN, asking).await
    }

    async fn bounded<T>(
        &self,
        doing: &'static str,
        within: Duration,
        work: impl Future<Output = Result<T, UnitError>>,
    ) -> Result<T, UnitError> {
        match timeout(within, work).await {
            Ok(result) => result,
            Err(_elapsed) => Err(self.timed_out(doing, within)),
        }
    }

    fn timed_out(&self, doing: &'static str, within: Duration) -> UnitError {
        UnitError::TimedOut { doing, unit: self.name.clone(), within }
    }

    fn refused(&self, doing: &'static str, source: zbus::Error) -> UnitError {
        UnitError::from_bus(doing, &self.name, source)
    }
}
