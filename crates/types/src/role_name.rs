//! The role a node shows to the outside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The role of a node as operators know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RoleName {
    /// Runs the backend, or is on its way up or down while it holds the lease.
    Primary,
    /// Follows the primary with a replica.
    Passive,
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "PRIMARY",
            Self::Passive => "PASSIVE",
        })
    }
}
