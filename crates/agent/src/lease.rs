//! What the election says, in the words of the machine.

use ccm_election::{Change, LossReason};
use ccm_role::{Event, Leader};
use tokio::sync::mpsc;

/// Passes every change of the lease on.
pub(crate) async fn forward(mut changes: mpsc::Receiver<Change>, events: mpsc::Sender<Event>) {
    while let Some(change) = changes.recv().await {
        let event = match change {
            Change::Won { epoch, valid_until, adopted: _ } => {
                Event::LeaseWon { epoch, valid_until }
            }
            Change::Renewed { valid_until } => Event::LeaseRenewed { valid_until },
            Change::Lost(LossReason::Expired) => Event::LeaseLost(ccm_role::LossReason::Expired),
            Change::Lost(LossReason::Superseded) => {
                Event::LeaseLost(ccm_role::LossReason::Superseded)
            }
            Change::Released => Event::LeaseReleased,
            Change::Leader(held) => Event::LeaderSeen(
                held.filter(|held| !held.released)
                    .map(|held| Leader { node: held.node, epoch: held.epoch }),
            ),
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}
