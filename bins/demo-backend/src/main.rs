//! A small SQLite-over-HTTP service in WAL mode, for the demo and the tests.
fn main() {}
