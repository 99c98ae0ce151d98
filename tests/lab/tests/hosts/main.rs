//! What must hold on real hosts: one module per scenario, all in one binary, one lab at a time.
//!
//! A machine that cannot run a lab fails these tests, with what it lacks. `CCM_LAB=skip` leaves
//! them out and says so.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod address;
mod backend;
mod booting;
mod cable;
mod checklist;
mod daemon_killed;
mod debs;
mod freeze;
mod guarded;
mod keepalived;
mod lab;
mod nats_leader;
mod one_way;
mod package;
mod power_cut;
mod reboot;
mod seed;
mod stage;
mod supervised;
mod unable;
mod without_root;
mod write_lock;
