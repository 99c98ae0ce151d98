//! Against a real nats-server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod announcing;
mod probing;
mod records;
mod watching;
mod world;
