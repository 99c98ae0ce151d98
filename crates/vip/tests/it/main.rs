//! Addresses in a real kernel: each test has a network namespace of its own, and a neighbour in
//! another one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod announcing;
mod holding;
mod lab;
mod links;
mod probing;
mod releasing;
mod taking;
