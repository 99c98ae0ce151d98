//! What tests and the demo share: real servers as children that die with the test, whole clusters
//! of real ccm daemons, waiting with a deadline, and the checks of what such a cluster promises.
//!
//! - [`NatsServer`] is one real nats-server, [`NatsCluster`] are three that are one.
//! - [`Cluster`] is a server, nodes with folders of their own, and everything one does to them.
//! - [`Writer`] writes to whoever serves and remembers what was acknowledged; [`Rows`] compares
//!   that with a database.
//! - [`OneBackend`] looks every few milliseconds whether two backends run at once.
//! - [`in_lan`] gives every node a network of its own; [`OneHolder`] looks every few milliseconds
//!   whether two of them have the virtual IP at once.
//! - [`in_systemd`] gives a test a real systemd of its own.
//! - [`Prometheus`] is one real Prometheus over targets in a file.
//! - [`Browser`] is one real Chromium without a window.
//! - [`Terminal`] is one real terminal, which one types into and reads the screen of.
//! - [`Exposition`] reads strictly what Prometheus scrapes.
//! - [`LeaseWatch`] sees every write to the lease, without ccm's help.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness fails the test by panicking")]

mod binaries;
mod browser;
mod cluster;
mod exposition;
mod http;
mod lan;
mod lease_watch;
mod nats;
mod nats_cluster;
mod nats_wire;
mod node;
mod one_backend;
mod one_holder;
pub mod processes;
mod prometheus;
mod rows;
mod systemd;
mod terminal;
mod tools;
pub mod wait;
mod writer;

pub use binaries::{bin_dir, build, cargo};
pub use browser::Browser;
pub use cluster::{Cluster, ClusterOptions, PATIENCE, VIP, ccm};
pub use exposition::{Exposition, Family, Labels};
pub use http::Http;
pub use lan::{Host, INTERFACE, Lan, SWITCH, in_lan};
pub use lease_watch::{LeaseWatch, LeaseWrite};
pub use nats::NatsServer;
pub use nats_cluster::NatsCluster;
pub use node::{Node, Operator, Ran};
pub use one_backend::OneBackend;
pub use one_holder::OneHolder;
pub use prometheus::Prometheus;
pub use rows::{Lost, Rows};
pub use systemd::{POLICY, UserSystemd, in_systemd, in_systemd_as, test_of};
pub use terminal::Terminal;
pub use tools::{
    affected_sqlite, bound, litestream, litestream_vfs, nats_py, nats_server, prometheus, promtool,
    spawn_bound,
};
pub use writer::{Ack, Writer};
