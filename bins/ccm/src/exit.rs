//! How a command ends: exit codes and failures.

use std::process::ExitCode;

use ccm_agent::ConnectError;

use crate::config::ConfigError;

/// The exit codes, as in sysexits(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// The command line or the configuration is wrong.
    Usage = 64,
    /// NATS cannot be reached.
    NatsUnreachable = 69,
    /// Something that should not happen.
    Internal = 70,
    /// Not done; the same command may work later.
    TryAgain = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command has failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

/// What a command returns.
pub(crate) type Ended = Result<Exit, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(words: impl Into<String>) -> Self {
        Self::new(Exit::Usage, anyhow::Error::msg(words.into()))
    }

    /// Not done, and worth another try.
    pub(crate) fn again(words: impl Into<String>) -> Self {
        Self::new(Exit::TryAgain, anyhow::Error::msg(words.into()))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Internal, error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Internal, error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match error {
            ConnectError::Unreachable { .. } | ConnectError::Denied { .. } => Exit::NatsUnreachable,
            ConnectError::Credentials { .. } => Exit::Usage,
        };
        Self::new(exit, error)
    }
}
