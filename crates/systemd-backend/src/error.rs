//! Why a unit did not do what was asked.

use std::time::Duration;

/// Why systemd or the unit did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// systemd does not answer.
    #[error("could not {doing} over D-Bus: does systemd run, and may this user ask it?")]
    Bus {
        /// What was tried.
        doing: &'static str,
        /// The bus's words.
        #[source]
        source: zbus::Error,
    },
    /// There is no such unit.
    #[error(
        "systemd knows no unit {unit}: check backend.serviceName, then systemctl daemon-reload"
    )]
    Missing {
        /// The unit.
        unit: String,
    },
    /// The unit is masked.
    #[error("the unit {unit} is masked: systemctl unmask {unit}")]
    Masked {
        /// The unit.
        unit: String,
    },
    /// systemd wants a password for this.
    #[error(
        "systemd does not let this user {doing} {unit}: run as root or install the polkit rule"
    )]
    Denied {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
    },
    /// The job ended otherwise than well.
    #[error("could not {doing} {unit}: the job ended with '{job}', the unit with '{result}'")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
        /// The job's result: `failed`, `timeout`, `canceled`, `dependency`.
        job: String,
        /// The unit's result: `exit-code`, `signal`, `start-limit-hit` and the like.
        result: String,
    },
    /// It takes longer than it may.
    #[error("{unit} did not {doing} within {within:?}")]
    TimedOut {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
        /// The time it had.
        within: Duration,
    },
}

impl UnitError {
    /// Worth trying again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Bus { .. } | Self::Failed { .. } | Self::TimedOut { .. } => true,
            Self::Missing { .. } | Self::Masked { .. } | Self::Denied { .. } => false,
        }
    }
}
