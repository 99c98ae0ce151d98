//! Is the backend healthy? One HTTP request, answered with a value that says why not.
//!
//! - [`Probe`] asks once and gives a [`Verdict`]; it never fails, a failure is the verdict.
//! - [`Streak`] turns verdicts into up and down: one slow answer is not an outage.
//!
//! Nothing here waits between probes or decides what follows from an outage; that is the caller's.

mod probe;
mod streak;

pub use probe::{Probe, ProbeError, Verdict};
pub use streak::{Streak, Turn};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
