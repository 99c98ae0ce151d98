//! A lease with epochs over one compare-and-set key.
//!
//! One node of many holds the lease; its validity is counted from the moment *before* a renewal
//! was sent, on a clock that counts suspend. The others take over when they have themselves seen
//! no new revision of the key for longer than that. Every leadership has an [`Epoch`] of its own
//! that grows by one and is never lost, because the key never expires on the server.
//!
//! - [`Timing`]: the numbers, and the arithmetic that keeps two nodes from serving at once.
//! - [`Lease`]: the rules as a pure machine: time and answers in, one request at a time and
//!   changes out. It knows no clock, no network and no runtime, so every interleaving can be
//!   written as a test (`testdata/`, `tests/simulation.rs`).
//! - [`Election`]: the machine over a NATS KV bucket. `examples/elect.rs` elects between
//!   terminals.
//!
//! What must hold, whatever the network does: nobody wins before [`Timing::takeover_after`] has
//! passed since it saw the last write of the holder before it, and by then
//! [`Timing::gone_after`] has passed for that holder, with clocks whose rates differ by 1 %.
//!
//! [`Epoch`]: ccm_types::Epoch

mod change;
mod driver;
mod lease;
mod record;
mod timing;

pub use change::{Adoption, Campaign, Change, Held, LossReason, Win};
pub use driver::{Election, ElectionConfig, ElectionError, KEY, LeaseStatus};
pub use lease::{Input, Lease, LeaseConfig, ReadOutcome, Request, RequestId, Step, WriteOutcome};
pub use record::{LeaseRecord, Revision};
pub use timing::{Timing, TimingError};
