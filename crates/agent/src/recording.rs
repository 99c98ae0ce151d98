//! What the loop tells the history: never waits.

use std::sync::Arc;

use ccm_election::LeaseStatus;
use ccm_health::metrics::Counts;
use ccm_history::{History, Stage, What};
use ccm_role::{Action, Event, Status};
use ccm_types::{Monotonic, NodeId};
use tokio::sync::watch;

use crate::chronicle::{Chronicle, Entry, Moment};

/// Stands beside the loop.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) node: NodeId,
    pub(crate) chronicle: Chronicle,
    pub(crate) history: History,
    pub(crate) counts: Arc<Counts>,
    pub(crate) lease: watch::Receiver<LeaseStatus>,
    /// Why this node would not take a lease that is free.
    pub(crate) not_eligible: watch::Sender<Option<String>>,
}

impl Recording {
    /// Before the machine sees it.
    pub(crate) fn event(&mut self, event: &Event, now: Monotonic) {
        let lease = self.lease.borrow();
        self.chronicle.event(event, lease.last_win.as_ref(), moment(now));
    }

    /// Before it is acted upon.
    pub(crate) fn action(&mut self, action: &Action, now: Monotonic) {
        self.chronicle.action(action, moment(now));
    }

    /// After the machine has decided.
    pub(crate) fn settle(&mut self, status: &Status, now: Monotonic) {
        let free = self.lease.borrow().free;
        for Entry { at, epoch, what } in self.chronicle.settle(status, free, moment(now)) {
            self.log(&what, epoch);
            if let What::Refused(refusal) = &what {
                self.counts.refused(refusal.stage.as_str());
            }
            self.history.record(at, epoch, &what);
        }
        let why = self.chronicle.not_eligible(status);
        self.not_eligible.send_if_modified(|old| {
            let changed = *old != why;
            *old = why;
            changed
        });
    }

    /// What nobody else has a line for.
    fn log(&self, what: &What, epoch: Option<ccm_types::Epoch>) {
        let said = what.message(&self.node, epoch);
        let epoch = epoch.map(ccm_types::Epoch::get);
        match what {
            What::Failover(takeover) | What::Taken(takeover) => {
                let (from, total) = (&takeover.from, takeover.total);
                tracing::info!(%from, ?total, epoch, "{said}");
            }
            What::Given(handover) => {
                let total = handover.total;
                tracing::info!(?total, epoch, "{said}");
            }
            What::Refused(refusal) => match refusal.stage {
                Stage::Election => tracing::info!(epoch, "{said}"),
                Stage::Promotion => tracing::warn!(epoch, "{said}"),
                // Whoever has asked is told.
                Stage::Command => tracing::debug!(epoch, "{said}"),
            },
            What::Role(_) | What::Backend(_) | What::Diverged(_) | What::NatsOutage(_) => {}
        }
    }
}

fn moment(now: Monotonic) -> Moment {
    Moment { now, wall: jiff::Timestamp::now() }
}
