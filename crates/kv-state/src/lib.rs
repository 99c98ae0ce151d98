//! What each node says of itself, in a NATS KV bucket that forgets nodes which fall silent.
//!
//! One key per node, `nodes.<node as one token>`, written by compare-and-set with a time to live,
//! so that two living daemons with one id notice each other: the second write of the other one is
//! refused ([`KvError::Duplicate`]).

mod bucket;
mod error;
mod nodes;
mod record;

pub use error::KvError;
pub use nodes::Nodes;
pub use record::NodeRecord;
