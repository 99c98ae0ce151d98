//! Whether a unit is one that a cluster can start when it must, and that nobody else starts.

use std::time::Duration;

use ccm_systemd_backend::{SelfStart, Unit, UnitError};
use tokio::sync::watch;

use crate::http::Problems;
use crate::{EnabledUnit, outcome};

/// Between two looks: what is looked at is changed by people.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The key that names the unit.
const KEY: &str = "backend.serviceName";

/// Before anything else: nothing may start the unit but this daemon.
///
/// # Errors
/// [`UnitError::StartsItself`], and why systemd could not be asked or would not disable it.
pub(crate) async fn check(unit: &Unit, policy: EnabledUnit) -> Result<(), UnitError> {
    let mut how = unit.starts_itself().await?;
    if how.is_by_itself() && policy == EnabledUnit::Disable {
        tracing::warn!(unit = unit.name(), "a boot would start the backend: it is disabled");
        how = unit.disable().await?;
    }
    if how.is_by_itself() { Err(starts_itself(unit, how)) } else { Ok(()) }
}

fn starts_itself(unit: &Unit, how: SelfStart) -> UnitError {
    UnitError::StartsItself { unit: String::from(unit.name()), how }
}

/// Looks again and again, and says what is wrong, so that it is known before a takeover needs it.
pub(crate) async fn watch_standing(
    unit: Unit,
    policy: EnabledUnit,
    problems: watch::Sender<Problems>,
) {
    let mut said = None;
    loop {
        let problem = look(&unit, policy).await.err().map(|error| outcome::words(&error));
        if said != problem {
            match &problem {
                Some(problem) => tracing::warn!(%problem, "the unit of the backend"),
                None => tracing::info!(unit = unit.name(), "the unit of the backend is well again"),
            }
            problems.send_modify(|all| match &problem {
                Some(problem) => drop(all.insert(KEY, problem.clone())),
                None => drop(all.remove(KEY)),
            });
            said = problem;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(unit: &Unit, policy: EnabledUnit) -> Result<(), UnitError> {
    unit.usable().await?;
    check(unit, policy).await?;
    // What goes along with others is for people to judge.
    match unit.starts_itself().await? {
        how @ SelfStart::Along { .. } => Err(starts_itself(unit, how)),
        SelfStart::No | SelfStart::Enabled | SelfStart::PulledIn { .. } => Ok(()),
    }
}
