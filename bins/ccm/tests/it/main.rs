//! The program as an operator runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bucket;
mod init;
mod join;
mod node;
mod status;
