//! Against a real nats-server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod announcing;
mod probing;
mod records;
mod watching;
mod world;
