//! Whole clusters below the runtime: the real machines against a simulated world.
//!
//! Every host of a [`Scenario`] has a daemon made of the real [`ccm_role::Machine`], the real
//! [`ccm_election::Lease`] and the real plans of [`ccm_wal_ltx::plan`], and a guard with the real
//! [`ccm_guard::core::Core`]. What lies between them and the world, the shell, is written anew
//! here, as small as it can be; the words that it translates are the agent's own
//! ([`ccm_agent::words`]). The world is one queue of what happens when and one source of chance:
//! there is no runtime, no thread and no clock, so a seed gives the same run every time.
//!
//! - [`Scenario`]: the faults and the operators of a run, as text.
//! - [`run`]: one run; the properties under `invariants/` are checked at every event.
//! - [`Mutant`]: broken variants that must be caught.
//! - [`shrink`]: a smaller scenario that fails in the same way.
//!
//! `cargo xtask sim` runs fresh seeds; `regressions/` keeps what was once found.

mod random;
mod time;

mod content;

mod scenario;

mod world;

mod nats;
mod network;

mod disk;
mod host;

mod backend;
mod capture;
mod compact;
mod daemon;
mod files;
mod follow;

mod faults;
mod invariants;
mod mutant;
mod trace;

mod run;
mod shrink;

pub use invariants::Violation;
pub use mutant::Mutant;
pub use run::{Report, run};
pub use scenario::{Fault, HostId, Scenario};
pub use shrink::shrink;
pub use time::Time;
