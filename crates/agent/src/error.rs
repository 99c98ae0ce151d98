//! Why a daemon does not run.

use ccm_control::ControlError;
use ccm_election::ElectionError;
use ccm_guard::GuardError;
use ccm_health::ProbeError;
use ccm_kv_state::KvError;
use ccm_systemd_backend::UnitError;
use ccm_types::NodeId;
use ccm_wal_ltx::local::LocalError;
use ccm_wal_ltx::store::StoreError;

use crate::ConnectError;

/// Why a daemon does not start, or has given up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// NATS does not let us in for a reason that will not go away.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The files of this node cannot be used.
    #[error(transparent)]
    Files(#[from] LocalError),
    /// The WAL bucket cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The election bucket cannot be used.
    #[error(transparent)]
    Election(#[from] ElectionError),
    /// The state bucket cannot be used.
    #[error(transparent)]
    State(#[from] KvError),
    /// The micro service cannot be offered.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The guard cannot be started.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The health endpoint cannot be probed.
    #[error("backend.healthEndpoint cannot be used")]
    Probe(#[from] ProbeError),
    /// systemd cannot be reached.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A process backend without its guard.
    #[error("a process backend needs its guard: it is the guard's child")]
    NoGuard,
    /// Another daemon has this node's id.
    #[error(
        "node {node} is already live at {address} (instance {instance}): give this node another \
         nodeId, or stop the other daemon"
    )]
    Duplicate {
        /// The id.
        node: NodeId,
        /// The other daemon.
        instance: String,
        /// Where it is.
        address: String,
    },
    /// A task has panicked; the guard keeps the deadline.
    #[error("the task '{name}' has died: this is a bug, see the log above")]
    TaskDied {
        /// Its name.
        name: &'static str,
    },
}

impl RunError {
    /// The configuration, or the unit that it names, has to be changed.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Unit(UnitError::StartsItself { .. }))
    }

    /// Worth trying again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Election(error) => error.is_transient(),
            Self::State(error) => error.is_transient(),
            Self::Control(error) => error.is_transient(),
            Self::Files(error) => error.is_transient(),
            Self::Guard(error) => error.is_transient(),
            Self::Unit(error) => error.is_transient(),
            Self::Probe(_) | Self::NoGuard | Self::Duplicate { .. } | Self::TaskDied { .. } => {
                false
            }
        }
    }
}
