//! Is the node well? Asked of the backend, answered to load balancers and to Prometheus.
//!
//! - [`Probe`] asks a backend once and gives a [`Verdict`]; it never fails, a failure is the
//!   verdict. [`Streak`] turns verdicts into up and down: one slow answer is not an outage.
//! - [`http`] answers `/health`, `/ready`, `/primary`, `/replica` and more over what a
//!   [`http::Node`] has measured.
//! - [`metrics`] writes what was counted and what was read in the formats of Prometheus.
//!
//! Nothing here waits between probes or decides what follows from an outage; that is the caller's.

pub mod http;
pub mod metrics;

mod probe;
mod streak;

pub use probe::{Probe, ProbeError, Verdict};
pub use streak::{Streak, Turn};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
