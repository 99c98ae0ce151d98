//! This node's record in the state bucket, kept fresh; two daemons with one id notice each other.

use std::sync::Arc;
use std::time::Duration;

use ccm_kv_state::{KvError, Nodes};
use ccm_types::NodeId;
use tokio::sync::{Notify, mpsc};

use crate::observe::Observer;
use crate::{RunError, outcome};

/// Between two refreshes of the record.
const REFRESH: Duration = Duration::from_secs(2);

/// A record that is not refreshed for so long is gone.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(10);

/// How long the record may take to be removed at the end.
const WITHDRAW_WITHIN: Duration = Duration::from_secs(1);

/// What keeps the record.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) nodes: Nodes,
    pub(crate) observer: Arc<Observer>,
    /// Says that the record is out of date.
    pub(crate) announce: Arc<Notify>,
    pub(crate) refuse: mpsc::Sender<RunError>,
}

impl Presence {
    /// Publishes at every change of role and every two seconds.
    pub(crate) async fn run(self) {
        loop {
            if self.observer.has_left() {
                withdraw(&self.nodes, self.observer.node()).await;
                self.announce.notified().await;
                continue;
            }
            let record = self.observer.record().await;
            match self.nodes.publish(&record, FORGET_AFTER).await {
                Ok(()) => {}
                Err(KvError::Duplicate { instance, address }) => {
                    let node = record.node_id.clone();
                    let error = RunError::Duplicate { node, instance, address };
                    // Full means that the daemon is told to end already.
                    self.refuse.try_send(error).ok();
                    return;
                }
                Err(error) => {
                    let error = outcome::words(&error);
                    tracing::debug!(%error, "the node record was not published");
                }
            }
            // Elapsed is the answer "nothing has changed, refresh anyway".
            tokio::time::timeout(REFRESH, self.announce.notified()).await.ok();
        }
    }
}

/// Removes the record of a daemon that ends in order.
pub(crate) async fn withdraw(nodes: &Nodes, node: &NodeId) {
    let removed = tokio::time::timeout(WITHDRAW_WITHIN, nodes.remove(node)).await;
    if !matches!(removed, Ok(Ok(()))) {
        tracing::debug!("the node record stays until it expires");
    }
}
