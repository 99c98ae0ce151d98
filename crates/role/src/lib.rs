//! What a node does: a pure machine that takes one event in and returns what is to be done.
//!
//! [`Machine::step`] is the only way in. What is not an [`Event`] cannot happen, what is not an
//! [`Action`] cannot be asked for. There is no clock, no I/O and no randomness inside, so every
//! interleaving is a list of events that a test can write down (`testdata/`).
//!
//! Two ladders carry the promises. Up, with the lease: fence, compare, catch up, place, capture,
//! backend. Down, still with the lease: backend, flush, release, retire. When the lease is lost
//! the machine falls: the backend goes first, on its own deadline, and nothing waits for NATS.

#![forbid(unsafe_code)]

mod action;
mod event;

mod machine;
mod state;
mod transition;

mod vip;

mod demote;
mod fall;
mod passive;
mod primary;
mod promote;

mod command;
mod promotion;
mod shortfall;

pub use action::{Action, Campaign, OpId, Operation};
pub use event::{
    Adopted, Command, CommandId, Event, Handover, Leader, LossReason, Outcome, Verdict,
};
pub use machine::{Config, Machine, Status};
pub use state::Phase;
pub use transition::{TRANSITIONS, Transition, state_machine_markdown};
