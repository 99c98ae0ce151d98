//! Those who look at a backend beside its lane.

use std::sync::Arc;

use ccm_health::metrics::Counts;
use ccm_role::Event;
use tokio::sync::{mpsc, watch};

use super::health::watch_health;
use super::standing::{check, watch_standing};
use super::unit_watch::{keep_off, watch_unit};
use super::{BackendPort, Runner};
use crate::http::Problems;
use crate::tasks::Tasks;
use crate::{RunError, Settings};

/// A unit that a boot starts is refused: it would run beside the backend of another node. One
/// that runs now and is not covered by a lease, so that it is to be `off`, is ended at once: NATS
/// may be away for long.
///
/// # Errors
/// [`RunError::Unit`].
pub(crate) async fn admit(
    settings: &Settings,
    port: &BackendPort,
    off: &watch::Sender<bool>,
    counts: &Arc<Counts>,
    problems: &watch::Sender<Problems>,
    tasks: &Tasks,
) -> Result<(), RunError> {
    let Runner::Systemd { unit, .. } = &port.runner else { return Ok(()) };
    let policy = settings.backend.enabled_unit;
    // What the lease covers goes on; the watch says what is wrong with it.
    if *off.borrow()
        && let Err(error) = check(unit, policy).await
    {
        let outcome = port.stop().await;
        tracing::warn!(?outcome, "nothing of the backend may be left before the daemon ends");
        return Err(error.into());
    }
    let watching = watch_standing(unit.clone(), policy, problems.clone());
    tasks.spawn("unit standing", watching);
    tasks.spawn("unit kept off", keep_off(unit.clone(), off.subscribe(), Arc::clone(counts)));
    Ok(())
}

/// Sees from now on whether it is well while it serves, and what a systemd unit does by itself.
pub(crate) fn attend(
    port: &BackendPort,
    serving: &watch::Sender<bool>,
    events: &mpsc::Sender<Event>,
    tasks: &Tasks,
) {
    let watching = watch_health(port.watched.clone(), serving.subscribe(), events.clone());
    tasks.spawn("health watch", watching);
    if let Runner::Systemd { unit, .. } = &port.runner {
        let watching = watch_unit(unit.clone(), serving.subscribe(), events.clone());
        tasks.spawn("unit watch", watching);
    }
}
