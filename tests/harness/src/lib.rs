//! What tests share: real servers as children that die with the test, and waiting with a deadline.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness fails the test by panicking")]

mod nats;
mod tools;
pub mod wait;

pub use nats::NatsServer;
pub use tools::{litestream, nats_server, spawn_bound};
