//! What must hold under real runs: one module per scenario, all in one binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod compaction;
mod daemon_restart;
mod damaged;
mod diverged;
mod guard;
mod history;
mod host_loss;
mod identity;
mod logs;
mod machine;
mod members;
mod monitoring;
mod nats_lost;
mod nats_outage;
mod planned;
mod restart_together;
mod restore;
mod services;
mod snapshot;
mod status_page;
mod supervised;
mod unit;
mod virtual_ip;
mod watch;
