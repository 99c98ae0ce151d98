//! The fence on real servers, one and three: what a writer of an earlier epoch, a server that is
//! killed and an upload that is cut short leave in the bucket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod captured;
mod hammer;
mod killed;
mod moved;
