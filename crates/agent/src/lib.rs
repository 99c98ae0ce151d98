//! The daemon: the shell around the role machine.
//!
//! [`run`] looks at what is on this host (files, guard, a backend that an earlier daemon left
//! running), reaches NATS, and turns one loop: an event goes into [`ccm_role::Machine`], its
//! actions go to the lanes. A lane owns one resource (the database files, the backend, the
//! virtual IP) and does one thing at a time. Nothing here decides anything.

mod controls;
mod error;
mod nats;
mod outcome;
mod secret;
mod settings;

mod run;

mod address;
mod join;

mod event_loop;
mod role_line;

mod dispatch;

mod chronicle;

mod recording;

mod backend;
mod files;
mod http;
mod lease;
mod metrics;
mod observe;
mod outages;
mod presence;
mod service;
mod services;
mod supervisor;
mod tasks;
mod vip;

pub mod words;

pub use ccm_guard::GuardHome;
pub use controls::{Controls, Place, Tunables};
pub use error::RunError;
pub use nats::{ConnectError, connect};
pub use run::run;
pub use secret::without_secret;
pub use settings::{
    BackendKind, BackendSettings, EnabledUnit, FileSettings, HttpSettings, NatsSettings, Settings,
};
pub use supervisor::{Supervisor, SupervisorError};
