//! What was counted and what was read, in the formats of Prometheus.
//!
//! - [`Counts`] lives as long as the daemon: counters and histograms, fed by what happens.
//! - [`Reading`] is made for one scrape: everything that is looked at when it is asked for. What
//!   could not be looked at is absent, not zero.
//! - [`write()`] puts both into OpenMetrics text; [`Format`] is what a client accepts.
//!
//! Names and labels that begin with `convex_cluster_` are a contract with those who have
//! dashboards; the others begin with `ccm_` and keep to Prometheus' rules for names and units.
//!
//! Sources: OpenMetrics 1.0, Prometheus' text exposition format 0.0.4.

mod counts;
mod families;
mod format;
mod reading;

pub use counts::{Counts, Stage, Step, Takeover};
pub use format::Format;
pub use reading::{
    Backend, BackendState, History, Lease, Level, Nats, Peers, Reading, ReplicationReading, Service,
};

use std::fmt;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

/// Everything, as OpenMetrics text.
///
/// # Errors
/// Never in practice: memory is written to.
pub fn write(counts: &Counts, reading: Reading) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let mut read = Registry::default();
    read.register_collector(Box::new(reading));
    encode_registry(&mut text, &read)?;
    encode_registry(&mut text, counts.registry())?;
    encode_eof(&mut text)?;
    Ok(text)
}
