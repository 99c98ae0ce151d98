//! What is counted: fed by what happens, never by what is thought to have happened.

mod lease;
mod replication;
mod steps;

pub(crate) use lease::{Leaderships, watch_renewals};
pub(crate) use replication::watch_replication;
pub(crate) use steps::{PHASES, Steps, phase_name};

#[cfg(test)]
pub(crate) use steps::tests::values;
