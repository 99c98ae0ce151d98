//! The pure machine of promote and demote ladders.

mod action;
mod event;

pub use action::{Action, Campaign, OpId, Operation};
pub use event::{Adopted, Command, CommandId, Event, Leader, LossReason, Outcome, Verdict};
