//! Why a daemon could not be asked, or did not do it.

use std::time::Duration;

use ccm_types::NodeId;

/// Why a question has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens: the daemon does not run, or has no connection to NATS.
    #[error("the daemon of node {node} does not answer: is it running and connected to NATS?")]
    NoResponder {
        /// The node.
        node: NodeId,
    },
    /// The daemon has not answered in time; what was asked may still happen.
    #[error("node {node} has not answered within {within:?}: look at its status")]
    TimedOut {
        /// The node.
        node: NodeId,
        /// The time it had.
        within: Duration,
    },
    /// The daemon says no, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The answer is not what this version understands.
    #[error("node {node} answers in a way that this version does not understand")]
    Malformed {
        /// The node.
        node: NodeId,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// There is no connection to NATS.
    #[error("not connected to NATS")]
    NotConnected,
    /// The service could not be offered.
    #[error("could not offer the micro service {name}")]
    Offer {
        /// Its name.
        name: String,
        /// The client library's error.
        #[source]
        source: async_nats::Error,
    },
}

impl ControlError {
    /// Worth asking again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoResponder { .. } | Self::TimedOut { .. } | Self::NotConnected => true,
            Self::Offer { .. } => true,
            Self::Refused(_) | Self::Malformed { .. } => false,
        }
    }

    /// What was asked may happen all the same.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }
}
