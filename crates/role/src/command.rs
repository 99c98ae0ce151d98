//! Operators: demote, promote, leave, and the end of the daemon.

use ccm_types::Monotonic;

use crate::action::{Action, Campaign, Operation};
use crate::event::{Command, CommandId};
use crate::machine::Machine;
use crate::state::{After, Phase, Planned, PromoteRung, State};

impl Machine {
    pub(crate) fn command(
        &mut self,
        now: Monotonic,
        state: State,
        id: CommandId,
        command: Command,
    ) -> State {
        match command {
            Command::Demote { successor } => {
                if successor.as_ref() == Some(&self.config.node) {
                    let held = state.lease().is_some();
                    self.answer(id, if held { Ok(()) } else { Err(self.who_leads()) });
                    return state;
                }
                let to = successor.as_ref().map_or(String::new(), |node| format!(" to {node}"));
                let planned = Planned {
                    reason: format!("an operator asked for a move{to}"),
                    successor,
                    then: After::Follow,
                    asked: vec![id],
                };
                self.plan(state, planned)
            }
            Command::Promote => self.wanted(now, state, id),
            Command::Leave => {
                let planned = Planned {
                    reason: String::from("an operator asked the node to leave"),
                    successor: None,
                    then: After::Leave,
                    asked: vec![id],
                };
                self.plan(state, planned)
            }
        }
    }

    /// The first call plans, a second one hurries.
    pub(crate) fn shutdown(&mut self, now: Monotonic, state: State) -> State {
        let hurry = match &state {
            State::Demoting(d) => d.planned.then == After::Exit,
            State::Falling(f) => f.then == After::Exit,
            State::Promoting(p) => p.planned.as_ref().is_some_and(|p| p.then == After::Exit),
            State::Starting(_)
            | State::Passive(_)
            | State::Primary(_)
            | State::Left
            | State::Hurrying { .. }
            | State::Stopped => false,
        };
        self.answer_promotion(Err(String::from("the daemon is ending")));
        if hurry {
            return self.hurry(now, state);
        }
        let planned = Planned {
            reason: String::from("the daemon is ending"),
            successor: None,
            then: After::Exit,
            asked: Vec::new(),
        };
        self.plan(state, planned)
    }

    fn hurry(&mut self, now: Monotonic, state: State) -> State {
        let ended = Err(String::from("the daemon was ended in a hurry"));
        let asked = match state {
            State::Demoting(d) => d.planned.asked,
            State::Falling(f) => f.asked,
            State::Promoting(p) => p.planned.map(|p| p.asked).unwrap_or_default(),
            State::Starting(_)
            | State::Passive(_)
            | State::Primary(_)
            | State::Left
            | State::Hurrying { .. }
            | State::Stopped => Vec::new(),
        };
        self.answer_all(asked, &ended);
        self.campaign(Campaign::Off);
        self.drop_vip();
        self.run(Operation::AbandonCapture);
        let kill = self.run(Operation::KillBackend { gone_by: now + self.config.stop });
        State::Hurrying { kill, until: now + self.config.stop * 2, killed: false }
    }

    /// Ends what the node does by plan.
    fn plan(&mut self, state: State, planned: Planned) -> State {
        match state {
            State::Primary(_) => self.demote(state, planned),
            State::Promoting(mut p) if p.adopted && p.rung != PromoteRung::StartBackend => {
                // What the adopted backend has written must be captured to be flushed.
                p.planned = Some(match p.planned.take() {
                    Some(old) => merge(old, planned),
                    None => planned,
                });
                State::Promoting(p)
            }
            State::Promoting(_) => self.demote(state, planned),
            State::Demoting(mut d) => {
                d.planned = merge(d.planned, planned);
                State::Demoting(d)
            }
            State::Falling(mut f) => {
                f.asked.extend(planned.asked);
                f.then = later(f.then, planned.then);
                State::Falling(f)
            }
            State::Starting(_) | State::Passive(_) | State::Left => self.plan_idle(state, planned),
            State::Hurrying { .. } | State::Stopped => {
                let ending = Err(String::from("the daemon is ending"));
                self.answer_all(planned.asked, &ending);
                state
            }
        }
    }

    /// Without a lease there is nothing to hand over.
    fn plan_idle(&mut self, state: State, planned: Planned) -> State {
        match planned.then {
            After::Exit => {
                self.emit(Action::StopFollowing);
                self.campaign(Campaign::Off);
                self.emit(Action::Exit);
                State::Stopped
            }
            After::Leave if state.phase() == Phase::Starting => {
                let why = Err(String::from("the daemon is starting: try again"));
                self.answer_all(planned.asked, &why);
                state
            }
            After::Leave => {
                self.answer_all(planned.asked, &Ok(()));
                if state.phase() == Phase::Left { state } else { self.leave() }
            }
            After::Follow | After::Rest => {
                let why = Err(self.who_leads());
                self.answer_all(planned.asked, &why);
                state
            }
        }
    }

    fn who_leads(&self) -> String {
        match &self.leader {
            Some(leader) if leader.node == self.config.node => String::from(
                "this node is not the primary: the lease of an earlier run of it has not ended yet",
            ),
            Some(leader) => format!("this node is not the primary: {} leads", leader.node),
            None => String::from("this node is not the primary, and no node leads at present"),
        }
    }
}

/// Two plans for one end: everybody is answered, the further-reaching end counts.
fn merge(old: Planned, new: Planned) -> Planned {
    let mut asked = old.asked;
    asked.extend(new.asked);
    Planned {
        reason: old.reason,
        successor: new.successor.or(old.successor),
        then: later(old.then, new.then),
        asked,
    }
}

/// Which of two ends reaches further.
fn later(a: After, b: After) -> After {
    let rank = |after: After| match after {
        After::Follow => 0,
        After::Rest => 1,
        After::Leave => 2,
        After::Exit => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}
