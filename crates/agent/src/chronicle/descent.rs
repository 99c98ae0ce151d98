//! A leadership on its way down, by plan. Pure.

use std::time::Duration;

use ccm_history::{Handover, Phase, Phases, What};
use ccm_types::{Epoch, Monotonic, NodeId};

use super::Moment;

/// How the reason of a demotion begins.
const DEMOTED: &str = "demoted from epoch ";

/// From the decision until the node does not lead any more.
#[derive(Debug)]
pub(super) struct Descent {
    epoch: Option<Epoch>,
    begun: Monotonic,
    to: Option<NodeId>,
    releasing: Option<Monotonic>,
    total: Option<Duration>,
    reason: String,
    pub(super) phases: Phases,
}

impl Descent {
    pub(super) fn new(epoch: Option<Epoch>, begun: Monotonic) -> Self {
        Self {
            epoch,
            begun,
            to: None,
            releasing: None,
            total: None,
            reason: String::from("it was taken out of the cluster"),
            phases: Phases::default(),
        }
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The lease is given back, to this node if there is one.
    pub(super) fn releases(&mut self, to: Option<NodeId>, now: Monotonic) {
        self.to = to;
        self.releasing = Some(now);
    }

    /// The lease was given back.
    pub(super) fn released(&mut self, at: Moment) {
        if let Some(releasing) = self.releasing.take() {
            self.phases.add(Phase::Release, at.now.since(releasing));
            self.total = Some(at.now.since(self.begun));
        }
    }

    /// What the machine says of its end.
    pub(super) fn reason(&mut self, announced: Option<String>) {
        let said = announced.as_deref().and_then(|said| said.strip_prefix(DEMOTED));
        if let Some((_epoch, reason)) = said.and_then(|said| said.split_once(": ")) {
            self.reason = String::from(reason);
        }
    }

    /// `None` when the lease was not given back.
    pub(super) fn into_handover(self) -> Option<(Option<Epoch>, What)> {
        let Self { epoch, to, total, reason, phases, .. } = self;
        Some((epoch, What::Given(Handover { to, reason, total: total?, phases })))
    }
}
