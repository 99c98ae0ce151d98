//! The packages as the tools of the systems see them, made from the program that the tests run.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod contents;
mod deb;
mod host;
mod lifecycle;
mod made;
mod reproducible;
mod rpm;
mod scripts;
mod tarball;
