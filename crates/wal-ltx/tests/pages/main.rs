//! Databases of every shape through capture, bucket, replica and restore, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod large;
mod lock_page;
mod readers;
mod replaced;
mod sizes;
