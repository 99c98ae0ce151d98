//! Node, cluster and service names, and their encoding for NATS names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest id accepted, in bytes.
const ID_LEN_MAX: usize = 128;

/// Why an id was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The id has no characters.
    #[error("an id may not be empty")]
    Empty,
    /// The id is longer than NATS names can reasonably carry.
    #[error("an id may have at most {ID_LEN_MAX} characters")]
    TooLong,
    /// The id has a character outside its alphabet.
    #[error("'{found}' is not allowed in an id: use {allowed}")]
    Character {
        /// The character found.
        found: char,
        /// The alphabet, in words.
        allowed: &'static str,
    },
}

fn check(text: &str, dots: bool) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_LEN_MAX {
        return Err(IdError::TooLong);
    }
    let allowed =
        if dots { "letters, digits, '-', '_' and '.'" } else { "letters, digits, '-' and '_'" };
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (dots && c == '.');
    match text.chars().find(|&c| !ok(c)) {
        Some(found) => Err(IdError::Character { found, allowed }),
        None => Ok(()),
    }
}

/// The id of one node: letters, digits, `-`, `_` and `.` (so `$(hostname)` fits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    /// Checks the alphabet and the length.
    ///
    /// # Errors
    /// [`IdError`] says which rule the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        check(&text, true).map(|()| Self(text))
    }

    /// The id as the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as one NATS token: `.` becomes `=2E`, everything else stays.
    ///
    /// Valid as a KV key token and as a subject token; two ids never encode to the same token.
    #[must_use]
    pub fn to_token(&self) -> String {
        self.0.replace('.', "=2E")
    }

    /// Reads an id back from [`NodeId::to_token`].
    ///
    /// # Errors
    /// [`IdError`] when the decoded text is not an id.
    pub fn from_token(token: &str) -> Result<Self, IdError> {
        Self::new(token.replace("=2E", "."))
    }

    /// The id for a NATS micro service name, whose alphabet is `[A-Za-z0-9_-]`: `.` becomes `_`.
    ///
    /// For display only: two ids may map to the same name, subjects use [`NodeId::to_token`].
    #[must_use]
    pub fn to_service_name(&self) -> String {
        self.0.replace('.', "_")
    }
}

/// The id of a cluster: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(String);

impl ClusterId {
    /// Checks the alphabet and the length.
    ///
    /// # Errors
    /// [`IdError`] says which rule the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        check(&text, false).map(|()| Self(text))
    }

    /// The id as the operator wrote it; valid as it is in NATS subjects and bucket names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The lease bucket, `convex-{c}-election`.
    #[must_use]
    pub fn election_bucket(&self) -> String {
        format!("convex-{}-election", self.0)
    }

    /// The node record bucket, `convex-{c}-state`.
    #[must_use]
    pub fn state_bucket(&self) -> String {
        format!("convex-{}-state", self.0)
    }

    /// The service record bucket, `convex-{c}-services`.
    #[must_use]
    pub fn services_bucket(&self) -> String {
        format!("convex-{}-services", self.0)
    }

    /// The stream of what has happened, `convex-{c}-history`.
    #[must_use]
    pub fn history_stream(&self) -> String {
        format!("convex-{}-history", self.0)
    }

    /// What the subjects in that stream begin with, `convex.{c}.history`.
    #[must_use]
    pub fn history_subject(&self) -> String {
        format!("convex.{}.history", self.0)
    }

    /// The LTX object bucket, `convex-{c}-wal`.
    #[must_use]
    pub fn wal_bucket(&self) -> String {
        format!("convex-{}-wal", self.0)
    }
}

/// The name of a service: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// Checks the alphabet and the length.
    ///
    /// # Errors
    /// [`IdError`] says which rule the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        check(&text, false).map(|()| Self(text))
    }

    /// The name as the operator wrote it; valid as it is as one NATS token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_value {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

text_value!(NodeId);
text_value!(ClusterId);
text_value!(ServiceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_may_be_a_host_name_and_survives_its_encoding() {
        for text in ["node-1", "db1.example.com", "a_b", "N.0.x"] {
            let id = NodeId::new(text).unwrap();
            assert!(!id.to_token().contains('.'));
            assert_eq!(NodeId::from_token(&id.to_token()).unwrap(), id);
        }
    }

    #[test]
    fn ids_outside_the_alphabet_are_refused_with_the_character() {
        assert_eq!(NodeId::new(""), Err(IdError::Empty));
        assert_eq!(NodeId::new("x".repeat(129)), Err(IdError::TooLong));
        for text in ["a b", "a*", "a>", "ä", "a/b", "a=2E"] {
            assert!(matches!(NodeId::new(text), Err(IdError::Character { .. })), "{text}");
        }
        assert!(matches!(ClusterId::new("a.b"), Err(IdError::Character { found: '.', .. })));
    }
}
