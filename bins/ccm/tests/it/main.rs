//! The program as an operator runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bucket;
mod check;
mod daemon;
mod diverged;
mod history;
mod init;
mod join;
mod ltx;
mod moves;
mod node;
mod restore;
mod services;
mod snapshot;
mod status;
mod units;
mod verify;
