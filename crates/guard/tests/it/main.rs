//! Real guards, real backends, real signals.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod external;
mod lifetimes;
mod processes;
mod rig;
