//! One systemd unit over D-Bus: start, stop, kill, watch.
//!
//! Starting and stopping are jobs of systemd that are waited for, not commands that are sent and
//! hoped for. A stop is done when the unit's cgroup is seen empty: nothing of the backend is
//! left, whatever `KillMode=` says. The interface is org.freedesktop.systemd1(5).

mod bus;
mod cgroup;
mod error;
mod state;
mod unit;

pub use bus::Bus;
pub use error::UnitError;
pub use state::{ActiveState, UnitState};
pub use unit::Unit;
