//! Replicas that follow a bucket: content, crashes, rebuilds, an old leadership's data file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod apply;
mod catch_up;
mod follower;
mod lost;
mod settle;
mod source;
