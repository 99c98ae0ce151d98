//! The end-to-end tests are in `tests/it`: real nats-server, real ccm processes, real SQLite.
//!
//! Their tools are those of `ccm-harness`; this library is empty so that the package can hold
//! them.
