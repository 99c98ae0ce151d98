//! What the user has asked for and the task has not yet taken: the last word of each kind.

use std::sync::{Mutex, PoisonError};

use ccm_types::{NodeId, Txid};
use tokio::sync::Notify;

use crate::{Adoption, Campaign, Input};

#[derive(Debug, Default)]
struct Waiting {
    adopt: Option<Adoption>,
    release: Option<(Txid, Option<NodeId>)>,
    campaign: Option<Campaign>,
}

/// Never full and never waits: a later word of one kind replaces the earlier.
#[derive(Debug, Default)]
pub(super) struct Orders {
    waiting: Mutex<Waiting>,
    given: Notify,
}

impl Orders {
    pub(super) fn campaign(&self, campaign: Campaign) {
        self.give(|waiting| waiting.campaign = Some(campaign));
    }

    pub(super) fn release(&self, txid: Txid, successor: Option<NodeId>) {
        self.give(|waiting| waiting.release = Some((txid, successor)));
    }

    pub(super) fn adopt(&self, adoption: Adoption) {
        self.give(|waiting| waiting.adopt = Some(adoption));
    }

    fn give(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.given.notify_one();
    }

    /// The next order; may be dropped and called again at any time.
    pub(super) async fn next(&self) -> Input {
        loop {
            if let Some(input) = self.take() {
                return input;
            }
            self.given.notified().await;
        }
    }

    /// A campaign is called off before the lease it may have won is given back.
    fn take(&self) -> Option<Input> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(adoption) = waiting.adopt.take() {
            return Some(Input::Adopt(adoption));
        }
        if let Some(campaign) = waiting.campaign.take() {
            return Some(Input::Campaign(campaign));
        }
        let (txid, successor) = waiting.release.take()?;
        Some(Input::Release { txid, successor })
    }
}
