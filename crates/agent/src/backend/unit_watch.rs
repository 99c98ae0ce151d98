//! Seeing that a systemd unit has ended without being asked to.

use std::time::Duration;

use ccm_role::Event;
use ccm_systemd_backend::{ActiveState, Unit, UnitState};
use tokio::sync::{mpsc, watch};

use crate::outcome;

/// Between two tries to watch a unit whose bus does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Reports the end of the unit while it serves. The health probe sees the rest.
pub(crate) async fn watch_unit(
    unit: Unit,
    mut serving: watch::Receiver<bool>,
    events: mpsc::Sender<Event>,
) {
    while serving.wait_for(|serving| *serving).await.is_ok() {
        let why = tokio::select! {
            _ = stopped(&mut serving) => None,
            why = ended(&unit) => Some(why),
        };
        if let Some(why) = why {
            // The machine restarts it, which ends this round. The loop has ended when nobody
            // listens.
            events.send(Event::BackendExited { why }).await.ok();
            stopped(&mut serving).await;
        }
    }
}

/// Completes when the backend is told to stop.
async fn stopped(serving: &mut watch::Receiver<bool>) {
    // An error means that the daemon ends.
    serving.wait_for(|serving| !*serving).await.ok();
}

/// Completes when the unit does not run any more, with the reason in words.
async fn ended(unit: &Unit) -> String {
    loop {
        let mut watch = match unit.watch().await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::debug!(error = %outcome::words(&error), "the unit cannot be watched");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        loop {
            if let Some(why) = is_over(watch.state()) {
                return why;
            }
            if watch.changed().await.is_err() {
                tokio::time::sleep(RETRY).await;
                break;
            }
        }
    }
}

fn is_over(state: &UnitState) -> Option<String> {
    match state.active {
        ActiveState::Inactive | ActiveState::Failed => Some(state.in_words()),
        ActiveState::Active
        | ActiveState::Reloading
        | ActiveState::Activating
        | ActiveState::Deactivating
        | ActiveState::Maintenance => None,
    }
}
