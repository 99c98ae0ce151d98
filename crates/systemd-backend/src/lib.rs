//! One systemd unit over D-Bus: start, stop, kill, watch.
//!
//! Starting and stopping are jobs of systemd that are waited for, not commands that are sent and
//! hoped for. A stop is done when the unit's cgroup is seen empty: nothing of the backend is
//! left, whatever `KillMode=` says. The interface is org.freedesktop.systemd1(5).
//!
//! - [`Unit`] is the unit; every call has a deadline, and a connection that has broken is made
//!   again by the next call.
//! - [`UnitState`] is what it does, measured at the moment of asking; [`Watch`] says when that
//!   changes.
//! - [`UnitError`] tells the reasons apart that an operator must do something about.

mod bus;
mod cgroup;
mod error;
mod job;
mod link;
mod state;
mod unit;
mod watch;

pub use bus::Bus;
pub use error::UnitError;
pub use state::{ActiveState, UnitState};
pub use unit::Unit;
pub use watch::Watch;
