//! Values every crate speaks: ids, epochs, transaction numbers, positions and time.
//!
//! Nothing here does I/O or decides anything, with one exception: [`BootClock`] reads the clock
//! that the lease and the guard must share.

mod node_id;

mod epoch;
mod role_name;
mod time;
mod txid;

pub use epoch::Epoch;
pub use node_id::{ClusterId, IdError, NodeId, ServiceName};
pub use role_name::RoleName;
pub use time::{BootClock, Monotonic};
pub use txid::{Position, Txid};
