//! The record of one node. Fields are added, never changed; unknown ones are ignored.

use ccm_types::{ClusterId, Epoch, NodeId, RoleName, Txid};
use serde::{Deserialize, Serialize};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// The node.
    pub node_id: NodeId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// Its role.
    pub role: RoleName,
    /// Its backend, as measured.
    pub backend_status: String,
    /// When it said so, RFC 3339, by its own clock.
    pub last_seen: String,
    /// The version of its daemon.
    pub version: String,
    /// The epoch it leads, or follows.
    pub epoch: Epoch,
    /// Its position.
    pub txid: Txid,
    /// Its replication lag in milliseconds.
    pub lag_ms: u64,
    /// Where it is.
    pub address: String,
    /// The tie-break between candidates.
    #[serde(default = "default_priority")]
    pub priority: u32,
    /// Whether it may take over by itself.
    #[serde(default = "default_candidate")]
    pub candidate: bool,
    /// How many data files it has set aside.
    #[serde(default)]
    pub diverged_files: u64,
    /// Their size in bytes.
    #[serde(default)]
    pub diverged_bytes: u64,
    /// What an operator should know, in words.
    #[serde(default)]
    pub problem: Option<String>,
    /// The run of its daemon.
    #[serde(default)]
    pub instance: String,
}

fn default_priority() -> u32 {
    100
}

fn default_candidate() -> bool {
    true
}
