//! One systemd unit over D-Bus: start, stop, kill, watch.
//!
//! Starting and stopping are jobs of systemd that are waited for, not commands that are sent and
//! hoped for. A stop is done when the unit's cgroup is seen empty: nothing of the backend is
//! left, whatever `KillMode=` says. The interface is org.freedesktop.systemd1(5).
//!
//! - [`Unit`] is the unit; every call has a deadline, and a connection that has broken is made
//!   again by the next call. A unit is ended also without a bus, where this user may.
//! - [`Patience`] is how long a unit may take to end, and when asking turns into killing.
//! - [`UnitState`] is what it does, measured at the moment of asking, and [`Verdict`] what that
//!   comes to; [`Watch`] says when that changes.
//! - [`SelfStart`] is who else starts it, which a cluster cannot have.
//! - [`UnitError`] tells the reasons apart that an operator must do something about, with the
//!   [`LastLines`] of the log where the unit has failed.
//!
//! What is decided, is decided in pure functions (`decide`), apart from all asking.

mod bus;
mod cgroup;
mod decide;
mod direct;
mod error;
mod job;
mod journal;
mod link;
mod state;
mod unit;
mod watch;

pub use bus::Bus;
pub use decide::{Patience, SelfStart, UnitFileState, Verdict};
pub use error::UnitError;
pub use journal::LastLines;
pub use state::{ActiveState, UnitState};
pub use unit::Unit;
pub use watch::Watch;
