//! What has happened in a cluster, kept in NATS JetStream.
//!
//! Every node records what happens to it: changes of role, takeovers with how long each part took
//! and why, files that were set aside, outages of NATS, candidates that were not eligible. The
//! stream `convex-{c}-history` keeps them, bounded by age, bytes and number; the subject of an
//! event is `convex.{c}.history.{node as one token}.{kind}`.
//!
//! - [`Event`] is what is stored: one JSON object with a sentence for people and details for
//!   programs. [`What`] is what is recorded; the sentence and the details come from it. Pure.
//! - [`History`] is the handle of a daemon: [`History::record`] never waits, [`History::run`]
//!   publishes, also what happened while NATS was away, and keeps the newest events of the whole
//!   cluster in memory ([`History::recent`]).
//! - [`Reader`] reads: the newest ones, since a moment, of a node or a kind, and what comes.
//!
//! What is in the stream and is no event is passed over and counted.

mod kind;
mod phases;

mod what;

mod event;

mod kept;

mod error;

mod stream;

mod recorder;

mod cursor;

mod reader;

mod follow;

pub use error::HistoryError;
pub use event::{Event, NotAnEvent};
pub use follow::{Follow, Start};
pub use kind::{Kind, UnknownKind};
pub use phases::{Phase, Phases};
pub use reader::{Filter, Listed, Reader, Seen};
pub use recorder::{Counted, History};
pub use stream::{AGE_MAX, BYTES_MAX, EVENT_BYTES_MAX, MESSAGES_MAX};
pub use what::{
    BackendNews, Divergence, Handover, Outage, Refusal, RoleChange, Stage, Takeover, What,
};

/// Events that a [`History`] keeps in memory.
pub const RECENT_MAX: usize = 100;

/// Events that wait to be published: what a node has to say of an outage of days.
pub const WAITING_MAX: usize = 1000;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
