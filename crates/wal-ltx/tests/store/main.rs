//! The stores: one suite over all of them, and what only one of them has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dir;
mod listing;
mod nats;
mod place;
mod refused;
mod suite;
