//! A backend that systemd runs, as the guard sees it: something to be ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ccm_guard::{GuardedVip, Target};
use ccm_systemd_backend::{Bus, Unit, UnitError};

/// How long one call waits: the guard gives up calls of a second, and asks again.
const CALL_WITHIN: Duration = Duration::from_millis(500);

/// The unit, over a connection that is made again when it breaks.
#[derive(Debug)]
pub(super) struct UnitTarget {
    name: String,
    vip: Option<GuardedVip>,
    unit: Mutex<Option<Arc<Unit>>>,
}

impl UnitTarget {
    pub(super) fn new(name: &str, vip: Option<GuardedVip>) -> Self {
        Self { name: String::from(name), vip, unit: Mutex::new(None) }
    }

    async fn unit(&self) -> Result<Arc<Unit>, UnitError> {
        let kept = self.unit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(unit) = kept {
            return Ok(unit);
        }
        let unit = Arc::new(Unit::connect(Bus::System, &self.name).await?);
        self.keep(Some(Arc::clone(&unit)));
        Ok(unit)
    }

    fn keep(&self, unit: Option<Arc<Unit>>) {
        *self.unit.lock().unwrap_or_else(PoisonError::into_inner) = unit;
    }

    /// A job that goes on is what the guard asked for: it looks by itself when the unit is gone.
    fn asked(&self, called: Result<(), UnitError>) -> Result<(), String> {
        match called {
            Ok(()) | Err(UnitError::TimedOut { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// In words, with the cause; a broken connection is not kept.
    fn failed(&self, error: &UnitError) -> String {
        if matches!(error, UnitError::Bus { .. }) {
            self.keep(None);
        }
        match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }
    }
}

impl Target for UnitTarget {
    const STARTS: bool = false;

    fn vip(&self) -> Option<&GuardedVip> {
        self.vip.as_ref()
    }

    async fn stop(&self) -> Result<(), String> {
        let unit = self.unit().await.map_err(|error| self.failed(&error))?;
        self.asked(unit.stop(CALL_WITHIN).await)
    }

    async fn kill(&self) -> Result<(), String> {
        let unit = self.unit().await.map_err(|error| self.failed(&error))?;
        self.asked(unit.kill(CALL_WITHIN).await)
    }

    async fn is_gone(&self) -> bool {
        let Ok(unit) = self.unit().await else { return false };
        match unit.is_gone().await {
            Ok(gone) => gone,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }
}
