//! Units of a real systemd: each test has a `systemd --user` of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ending;
mod refusing;
mod starting;
mod support;
mod watching;
