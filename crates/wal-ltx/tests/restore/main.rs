//! Restores: every state byte for byte, cut and killed attempts, what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod cut;
mod litestream;
mod moving;
mod pieces;
mod refused;
#[expect(dead_code, reason = "the tests of the passive side use the rest of it")]
#[path = "../follow/source.rs"]
mod source;
mod states;
mod verify;
