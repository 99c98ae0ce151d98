//! `promote`: an operator wants this node to be the primary.
//!
//! It campaigns for the lease, also when it is no candidate, and asks whoever leads to hand over,
//! until it serves, is refused or has taken too long; then nothing is left pending. What can come
//! in between:
//!
//! | the primary that was asked | then |
//! |---|---|
//! | hands over | the released lease is won |
//! | refuses | the operator hears why |
//! | refuses, and meanwhile another node leads, or none | that one is asked; a free lease is won |
//! | does not answer, is gone | its lease ends and is won |
//! | does not answer, and another node wins the lease | that one is asked |
//! | does not answer, is back within its lease | it is asked again |
//! | answers when the lease was won without it | nobody minds |
//!
//! An answer belongs to the node that gave it, not to the promotion that asked: one that comes late
//! and is of a node that does not lead any more says nothing about a later promotion.

use ccm_types::{Monotonic, NodeId, Txid};

use crate::action::Action;
use crate::event::{CommandId, Handover, Leader};
use crate::machine::Machine;
use crate::state::{Passive, Phase, State};

/// A `promote` that waits for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedPromotion {
    id: CommandId,
    until: Monotonic,
    /// When whoever leads is asked to hand over; `None` when that has been done.
    ask_at: Option<Monotonic>,
    /// Why the last one that was asked has not.
    hindrance: Option<String>,
    /// The operator knew that a release at this position cannot be reached.
    accepts: Txid,
}

impl Machine {
    /// `promote`: done when this node serves.
    pub(crate) fn wanted(&mut self, now: Monotonic, state: State, id: CommandId) -> State {
        let refuse = match &state {
            State::Primary(_) => {
                self.answer(id, Ok(()));
                return state;
            }
            State::Passive(_) | State::Promoting(_) => None,
            State::Starting(_) => Some("the daemon is starting: try again"),
            State::Demoting(_) | State::Falling(_) => {
                Some("this node is giving a leadership up: try again")
            }
            State::Left => Some("this node has left the cluster: run ccm join first"),
            State::Hurrying { .. } | State::Stopped => Some("the daemon is ending"),
        };
        let busy = self.promotion.is_some().then_some("a promotion is under way already");
        if let Some(why) = refuse.or(busy) {
            self.answer(id, Err(String::from(why)));
            return state;
        }
        let until = now + self.config.ttl + self.config.stop_timeout + self.config.start_timeout;
        let accepts = self.short_of;
        let wanted = WantedPromotion { id, until, ask_at: Some(now), hindrance: None, accepts };
        self.promotion = Some(wanted);
        if state.phase() != Phase::Passive {
            return state;
        }
        self.campaign_again();
        // An operator's word ends a rest.
        State::Passive(Passive::default())
    }

    /// The primary that has to hand over, when it is time to ask it.
    fn to_be_asked(&self) -> Option<(Monotonic, &Leader)> {
        let at = self.promotion.as_ref()?.ask_at?;
        let leader = self.leader.as_ref().filter(|leader| leader.node != self.config.node)?;
        let fits =
            self.state.phase() == Phase::Passive && self.asking.as_ref() != Some(&leader.node);
        fits.then_some((at, leader))
    }

    /// Asks whoever leads, again where nobody has answered.
    pub(crate) fn ask_for_promotion(&mut self, now: Monotonic) {
        let due = self.to_be_asked().filter(|(at, _)| now >= *at);
        let Some(leader) = due.map(|(_, leader)| leader.node.clone()) else { return };
        if let Some(wanted) = &mut self.promotion {
            wanted.ask_at = Some(now + self.config.retry);
        }
        self.asking = Some(leader.clone());
        self.emit(Action::AskHandover { leader });
    }

    /// When a promotion needs a tick.
    pub(crate) fn promotion_deadline(&self) -> Option<(Monotonic, &'static str)> {
        let end = (self.promotion.as_ref()?.until, "a promotion has not succeeded");
        let ask = self.to_be_asked().map(|(at, _)| (at, "the primary is asked to hand over"));
        [Some(end), ask].into_iter().flatten().min()
    }

    pub(crate) fn note_handover(&mut self, leader: &NodeId, answer: &Handover) {
        self.asking.take_if(|asked| asked == leader);
        let leads = self.leader.as_ref().is_some_and(|seen| seen.node == *leader);
        let Some(wanted) = self.promotion.as_mut().filter(|_| leads) else { return };
        match answer {
            Handover::Done => wanted.ask_at = None,
            Handover::Unanswered(why) => wanted.hindrance = Some(why.clone()),
            // Who climbs has the lease: nobody is needed to hand it over.
            Handover::Refused(why) if self.state.phase() == Phase::Passive => {
                self.end_promotion(why.clone());
            }
            Handover::Refused(_) => {}
        }
    }

    pub(crate) fn end_promotion_in_time(&mut self, now: Monotonic) {
        let Some(wanted) = self.promotion.as_ref().filter(|wanted| now >= wanted.until) else {
            return;
        };
        let hindrance = wanted.hindrance.as_ref().map(|why| format!(" ({why})"));
        self.end_promotion(format!(
            "it has not become the primary in time{}, and does not try any more: look at its \
             status and log",
            hindrance.unwrap_or_default()
        ));
    }

    /// Whether an operator wants this node to serve although it does not reach `floor`.
    pub(crate) fn accepts_shortfall(&self, floor: Txid) -> bool {
        self.promotion.as_ref().is_some_and(|wanted| wanted.accepts >= floor)
    }

    /// Answers one that was in vain; the node campaigns as its configuration says.
    fn end_promotion(&mut self, why: String) {
        if let Some(wanted) = self.promotion.take() {
            self.answer(wanted.id, Err(why));
            self.campaign_again();
        }
    }

    /// Answers a `promote` that has come to its end.
    pub(crate) fn settle_promotion(&mut self) {
        let result = match self.state.phase() {
            Phase::Primary => Ok(()),
            Phase::Left | Phase::Stopped => Err(String::from("this node takes no part any more")),
            Phase::Demoting | Phase::Falling => Err(self
                .problem
                .clone()
                .unwrap_or_else(|| String::from("the leadership ended before it served"))),
            Phase::Starting | Phase::Passive | Phase::Promoting => return,
        };
        self.answer_promotion(result);
    }

    /// Answers a `promote` that waits, if one does.
    pub(crate) fn answer_promotion(&mut self, result: Result<(), String>) {
        if let Some(wanted) = self.promotion.take() {
            self.answer(wanted.id, result);
        }
    }
}
