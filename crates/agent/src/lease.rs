//! What the election says, for the loop.

use ccm_election::Change;
use ccm_role::Event;
use tokio::sync::mpsc;

use crate::metrics::Leaderships;
use crate::words;

/// Passes every change of the lease on.
pub(crate) async fn forward(
    mut changes: mpsc::Receiver<Change>,
    events: mpsc::Sender<Event>,
    mut leaderships: Leaderships,
) {
    while let Some(change) = changes.recv().await {
        leaderships.note(&change);
        if events.send(words::lease_event(change)).await.is_err() {
            return;
        }
    }
}
