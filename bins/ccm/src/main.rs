//! High-availability manager for self-hosted Convex backends.
fn main() {}
