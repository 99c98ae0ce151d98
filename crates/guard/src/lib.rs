//! The guard: a process that outlives the daemon and keeps the deadline of the lease.
//!
//! A primary must have stopped serving before another node may start, also when its daemon has
//! been killed, stopped or hangs. So the backend is not the daemon's to stop but the guard's. The
//! guard knows until when the lease is valid ([`Armed`]) and, when that moment passes without a
//! renewal, ends the backend: SIGTERM at `valid_until`, SIGKILL for everything that is left at
//! `kill_at`. It needs neither NATS nor the daemon for that.
//!
//! - [`serve`] is the guard itself: a program calls it from `main` and does nothing else.
//! - [`GuardClient`] is how a daemon finds, starts and asks it.
//! - [`core`] is what it decides, without I/O.
//! - [`GuardedVip`] is a virtual IP that it takes off before it ends the backend.
//! - [`Target`] is what the guard stops. [`ProcessTarget`] is a process that the guard has
//!   started, with all its descendants; a backend that something else runs (a systemd unit) is
//!   another implementation.
//!
//! All moments are [`ccm_types::Monotonic`]: `CLOCK_BOOTTIME`, which counts while the host is
//! suspended, so a host that slept through its deadline stops the backend when it wakes.
//!
//! The guard never decides that a backend may run: it only refuses to start one that is not
//! covered by a deadline that lies ahead.

mod armed;
mod client;
mod connection;
pub mod core;
mod error;
mod leftover;
mod lock;
mod process;
mod proctable;
mod serve;
mod spawn;
mod target;
mod timer;
mod vip;
mod wire;

pub use armed::Armed;
pub use client::{GuardClient, GuardEvent};
pub use error::{GuardError, ServeError};
pub use process::ProcessTarget;
pub use serve::{GuardConfig, serve};
pub use spawn::{GuardHome, Launch};
pub use target::Target;
pub use vip::{GuardedVip, VipName};
pub use wire::{BackendState, Hello, RefusalCode};
