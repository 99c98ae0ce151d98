//! The scenarios, one file each.

pub(crate) mod writer;

pub(crate) mod latency;

pub(crate) mod outage;

pub(crate) mod size;

pub(crate) mod idle;

pub(crate) mod restore;

pub(crate) mod promotion;

use std::time::Duration;

use anyhow::Result;

use crate::figures::Figures;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Just enough to see that it works.
    pub(crate) quick: bool,
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// The length of an outage.
    pub(crate) outage: Duration,
}

impl Effort {
    /// The one or the other.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// A writer at full speed.
    Writer,
    /// From a commit to its durability, and to the passive node.
    Latency,
    /// NATS is killed under load and comes back.
    Outage,
    /// The bucket over the database.
    Size,
    /// Daemons while nothing happens.
    Idle,
    /// A large database into the bucket and out of it.
    Restore,
    /// A replica takes over.
    Promotion,
}

impl Scenario {
    /// Those of `cargo xtask bench replication`.
    pub(crate) const REPLICATION: [Self; 5] =
        [Self::Writer, Self::Latency, Self::Outage, Self::Size, Self::Idle];

    /// Those of `cargo xtask bench restore`.
    pub(crate) const RESTORE: [Self; 2] = [Self::Restore, Self::Promotion];

    /// Measures it.
    pub(crate) async fn run(self, effort: Effort) -> Result<Figures> {
        match self {
            Self::Writer => writer::run(effort).await,
            Self::Latency => latency::run(effort).await,
            Self::Outage => outage::run(effort).await,
            Self::Size => size::run(effort).await,
            Self::Idle => idle::run(effort).await,
            Self::Restore => restore::run(effort).await,
            Self::Promotion => promotion::run(effort).await,
        }
    }
}
