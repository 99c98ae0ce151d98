//! Units of a real systemd: each test has a `systemd --user` of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod booting;
mod ending;
mod others;
mod refusing;
mod starting;
mod support;
mod watching;
