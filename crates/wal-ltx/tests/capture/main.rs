//! Capture of a real SQLite into a bucket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod affected;
mod backpressure;
mod bench;
mod everyday;
mod interrupted;
mod journal_mode;
mod latency;
mod lost;
mod power_loss;
mod restart;
mod stress;
mod trouble;
mod wal_size;
