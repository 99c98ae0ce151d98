//! The value at the lease key.

use ccm_types::{Epoch, NodeId, Txid};
use serde::{Deserialize, Serialize};

/// The stream sequence of the key's last write; used for compare-and-set only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Who holds the lease, or who released it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRecord {
    /// The holder.
    pub node_id: NodeId,
    /// The epoch of this leadership.
    pub epoch: Epoch,
    /// The holder's daemon, unique per run.
    pub instance: String,
    /// The holder's ttl in milliseconds.
    pub ttl_ms: u64,
    /// The holder's address.
    pub address: String,
    /// When this leadership began, RFC 3339; for people, never compared.
    pub acquired_at: String,
    /// A planned release: may be taken over at once.
    pub released: bool,
    /// The final position of a planned release; that of the one before when this leadership never
    /// served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txid: Option<Txid>,
    /// The only node that may take a released lease at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<NodeId>,
}
