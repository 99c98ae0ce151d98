//! Compaction and retention: what is restored afterwards, under a moved fence, after a crash, and
//! how small the bucket stays.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod crash;
mod damaged;
mod fenced;
mod life;
mod many;
mod restore;
#[path = "../follow/source.rs"]
#[allow(dead_code, reason = "shared with the tests of the passive side")]
mod source;
mod stock;
mod sweep;
