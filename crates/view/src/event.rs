//! An event of the cluster's history.

use ccm_types::Epoch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that has happened in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// When, RFC 3339, by the clock of the node that tells of it.
    pub at: String,
    /// The node that tells of it.
    pub node: String,
    /// What kind of event it is.
    pub kind: String,
    /// The epoch it belongs to.
    #[serde(default)]
    pub epoch: Option<Epoch>,
    /// What has happened, as a sentence.
    pub message: String,
    /// More for programs.
    #[serde(default)]
    pub details: Value,
}
