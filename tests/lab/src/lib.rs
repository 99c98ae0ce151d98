//! Real hosts on one machine: each has a systemd of its own as PID 1, a disk, a network card and a
//! cable to one switch; beside them is a client that knows only what is on the wire.
//!
//! A host is a set of namespaces over a copy of the machine's own root file system, so nothing is
//! downloaded. What can happen to a real host can happen to one of these: power cut, freeze,
//! reboot, a cable pulled, a switch that forwards one way only. `docs/lab.md` says what it can
//! not do.
//!
//! - [`Lab`] is the whole; [`Host`] is one machine with its power switch and its port.
//! - [`Client`] is where the load comes from; [`Load`] writes through the virtual IP and remembers.
//! - [`Wire`] asks the wire who has an address; [`Watch`] looks into every host at once.
//! - [`Site`] is ccm on those hosts, deployed as `deploy/README.md` says.
//!
//! Nothing is left behind. Hosts, namespaces and mounts are held by this process alone and end with
//! it, also by SIGKILL; the names that remain are swept by the next lab.

mod machine;

mod deadline;

mod sweep;

mod cgroup;

mod ground;

mod network;

mod switch;

mod disk;

mod run;

mod host;

pub mod init;

mod lab;

mod client;

mod load;

mod wire;

mod watch;

mod nats;

mod fleet_nats;

mod source;

mod site;

mod turn;

pub use client::Client;
pub use deadline::wait_for;
pub use host::{Host, Power};
pub use lab::{Lab, Options};
pub use load::{Attempt, Load, LoadOptions};
pub use machine::Unable;
pub use nats::NatsBox;
pub use run::Ran;
pub use site::{Site, SiteOptions, VIP, VIP6};
pub use source::Source;
pub use sweep::traces;
pub use turn::{Turn, turn};
pub use watch::Watch;
pub use wire::Wire;

use std::time::Duration;

/// When a wait for something that should simply happen is given up: far above what anything takes
/// on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
