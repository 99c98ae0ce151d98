//! A lease with epochs over one compare-and-set key.

mod record;
mod timing;

pub use record::{LeaseRecord, Revision};
pub use timing::{Timing, TimingError};
