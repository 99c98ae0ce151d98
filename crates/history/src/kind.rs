//! What sort of thing has happened. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What sort of thing has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A node is PRIMARY or PASSIVE now, or takes no part any more.
    Role,
    /// A node serves because the one before it had fallen silent.
    Failover,
    /// A leadership was given away by plan, or taken over from one who gave it.
    Move,
    /// The backend has ended or was not healthy, and was restarted.
    Backend,
    /// A file that may hold what the cluster does not have was set aside.
    Divergence,
    /// A node had no connection to NATS.
    NatsOutage,
    /// A node did not take a leadership, or could not use it.
    Refused,
}

/// A text that names no [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no kind of event: use {}", Kind::names())]
pub struct UnknownKind {
    /// The text.
    pub text: String,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Role,
        Self::Failover,
        Self::Move,
        Self::Backend,
        Self::Divergence,
        Self::NatsOutage,
        Self::Refused,
    ];

    /// As it is written, and the last token of the subject.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Failover => "failover",
            Self::Move => "move",
            Self::Backend => "backend",
            Self::Divergence => "divergence",
            Self::NatsOutage => "nats-outage",
            Self::Refused => "refused",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownKind { text: String::from(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_as_it_is_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let error = "nonsense".parse::<Kind>().unwrap_err().to_string();
        assert!(error.starts_with("'nonsense' is no kind") && error.contains("nats-outage"));
    }
}
