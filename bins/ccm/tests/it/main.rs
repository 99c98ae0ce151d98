//! The program as an operator runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bucket;
mod daemon;
mod init;
mod join;
mod moves;
mod node;
mod status;
