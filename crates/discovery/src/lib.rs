//! Which services there are, where, and how they are: records in a NATS KV bucket that forgets
//! those that fall silent.
//!
//! - [`ServiceRecord`] is what is known of one service on one node.
//! - [`Services`] registers, lists and removes records; [`Watch`] tells what changes.
//! - [`Announcement`] keeps the record of one service fresh, with its health by role and by probe.
//! - [`export`] writes records as others read them. Pure, like [`Filter`] and [`health`].

pub mod export;
mod filter;
pub mod health;
mod record;
mod view;

mod bucket;
mod error;

mod services;

mod watch;

mod announce;
mod probe;

pub use announce::{Announcement, FORGET_AFTER, Role, Service};
pub use error::DiscoveryError;
pub use filter::Filter;
pub use health::Health;
pub use probe::{Probe, ProbeConfig, ProbeKind};
pub use record::{GarbageError, Protocol, ServiceRecord, key};
pub use services::{Listed, Services};
pub use view::Change;
pub use watch::Watch;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
