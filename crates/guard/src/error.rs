//! What can go wrong, for the guard and for its daemon.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::RefusalCode;

/// Why a guard has ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another guard has this socket.
    #[error("another guard runs: it holds {}", lock.display())]
    Taken {
        /// The locked file.
        lock: PathBuf,
    },
    /// The socket or its lock could not be made.
    #[error("could not {what} {}", path.display())]
    Socket {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something that the guard needs.
    #[error("could not {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The target cannot be guarded.
    #[error("{0}")]
    Target(String),
}

/// Why a daemon has no answer, or not the one it wanted, from its guard.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Nobody listens on the socket.
    #[error("could not connect to the guard at {}", socket.display())]
    Unreachable {
        /// The guard's socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The guard is there and has not answered in time.
    #[error("the guard has not answered {what} within {within:?}: it is stopped, or hangs")]
    Silent {
        /// What was asked.
        what: &'static str,
        /// How long.
        within: Duration,
    },
    /// The connection ended before the answer.
    #[error("the guard has gone away before it answered {what}")]
    Lost {
        /// What was asked.
        what: &'static str,
    },
    /// The guard has not done it.
    #[error("the guard refuses {what}: {words}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Why, for callers that branch.
        code: RefusalCode,
        /// Why, in words.
        words: String,
    },
    /// The guard could not be started.
    #[error("could not start the guard with {}", program.display())]
    Spawn {
        /// The program, or the log that its output was to go to.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The guard was started and does not answer.
    #[error("a guard was started and does not answer; its output is in {}", log.display())]
    NotUp {
        /// Where its output goes.
        log: PathBuf,
        /// The last try.
        #[source]
        source: Box<GuardError>,
    },
}

impl GuardError {
    /// Whether the same call may work later, on a new connection if the guard was lost.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Lost { .. }
            | Self::NotUp { .. } => true,
            Self::Refused { code, .. } => *code == RefusalCode::Stopping,
            Self::Spawn { .. } => false,
        }
    }

    /// Whether the guard may have done what was asked all the same.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Lost { .. })
    }
}
