//! What tests and the demo share: real servers as children that die with the test, whole clusters
//! of real ccm daemons, waiting with a deadline, and the checks of what such a cluster promises.
//!
//! - [`NatsServer`] is one real nats-server.
//! - [`Cluster`] is a server, nodes with folders of their own, and everything one does to them.
//! - [`Writer`] writes to whoever serves and remembers what was acknowledged; [`Rows`] compares
//!   that with a database.
//! - [`OneBackend`] looks every few milliseconds whether two backends run at once.
//! - [`LeaseWatch`] sees every write to the lease, without ccm's help.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness fails the test by panicking")]

mod binaries;
mod cluster;
mod http;
mod lease_watch;
mod nats;
mod nats_wire;
mod node;
mod one_backend;
pub mod processes;
mod rows;
mod tools;
pub mod wait;
mod writer;

pub use binaries::{bin_dir, build};
pub use cluster::{Cluster, ClusterOptions, PATIENCE, ccm};
pub use http::Http;
pub use lease_watch::{LeaseWatch, LeaseWrite};
pub use nats::NatsServer;
pub use node::{Node, Operator, Ran};
pub use one_backend::OneBackend;
pub use rows::{Lost, Rows};
pub use tools::{bound, litestream, nats_server, spawn_bound};
pub use writer::{Ack, Writer};
