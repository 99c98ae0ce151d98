//! A backend that systemd runs, as the guard sees it: something to be ended.

use std::time::Duration;

use ccm_guard::{GuardedVip, Target};
use ccm_systemd_backend::{Bus, Unit, UnitError};

/// How long one call waits: the guard gives up calls of a second, and asks again.
const CALL_WITHIN: Duration = Duration::from_millis(500);

/// The unit, over a connection that is made again when it breaks.
#[derive(Debug)]
pub(super) struct UnitTarget {
    unit: Unit,
    vip: Option<GuardedVip>,
}

impl UnitTarget {
    pub(super) fn new(name: &str, vip: Option<GuardedVip>) -> Self {
        Self { unit: Unit::new(Bus::System, name), vip }
    }
}

/// A job that goes on is what the guard asked for: it looks by itself when the unit is gone.
fn asked(called: Result<(), UnitError>) -> Result<(), String> {
    match called {
        Ok(()) | Err(UnitError::TimedOut { .. }) => Ok(()),
        Err(error) => Err(match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }),
    }
}

impl Target for UnitTarget {
    const STARTS: bool = false;

    fn vip(&self) -> Option<&GuardedVip> {
        self.vip.as_ref()
    }

    async fn stop(&self) -> Result<(), String> {
        asked(self.unit.stop(CALL_WITHIN).await)
    }

    async fn kill(&self) -> Result<(), String> {
        asked(self.unit.kill(CALL_WITHIN).await)
    }

    async fn is_gone(&self) -> bool {
        self.unit.is_gone().await.unwrap_or(false)
    }
}
