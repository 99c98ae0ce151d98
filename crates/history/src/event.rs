//! One event as it is stored. Fields are added, never changed; unknown ones are ignored. Pure.

use ccm_types::{Epoch, NodeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Kind, What};

/// Characters of a sentence that are kept: an error of the backend may have more to say.
const MESSAGE_MAX: usize = 2000;

/// Something that has happened to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, by the clock of the node.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// To whom.
    pub node: NodeId,
    /// What sort of thing.
    pub kind: Kind,
    /// The epoch that the node led, or saw leading.
    #[serde(default)]
    pub epoch: Option<Epoch>,
    /// One sentence for people.
    pub message: String,
    /// The same for programs.
    #[serde(default)]
    pub details: Map<String, Value>,
}

/// What is in the stream is no event.
#[derive(Debug, thiserror::Error)]
pub enum NotAnEvent {
    /// It is not the JSON of one.
    #[error("it is no event: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It says that it is about another node or of another kind than its subject.
    #[error("it is about {node} and of the kind {kind}, its subject is another one")]
    Misplaced {
        /// The node it names.
        node: NodeId,
        /// The kind it names.
        kind: Kind,
    },
}

impl Event {
    /// What has happened to `node` at this moment.
    #[must_use]
    pub fn new(at: Timestamp, node: NodeId, epoch: Option<Epoch>, what: &What) -> Self {
        let epoch = epoch.filter(|epoch| *epoch != Epoch::NONE);
        let message = shortened(what.message(&node, epoch));
        let mut details = what.details();
        for value in details.values_mut() {
            if let Value::String(text) = value {
                *text = shortened(std::mem::take(text));
            }
        }
        // As it is read back.
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        Self { at, node, kind: what.kind(), epoch, message, details }
    }

    /// The subject that it is published at, below that of the cluster.
    #[must_use]
    pub fn subject(&self, cluster: &str) -> String {
        format!("{cluster}.{}.{}", self.node.to_token(), self.kind)
    }

    /// Reads what was published at `subject`.
    ///
    /// # Errors
    /// [`NotAnEvent`].
    pub fn read(subject: &str, payload: &[u8]) -> Result<Self, NotAnEvent> {
        let event: Self = serde_json::from_slice(payload)?;
        let end = format!(".{}.{}", event.node.to_token(), event.kind);
        if subject.ends_with(&end) {
            Ok(event)
        } else {
            Err(NotAnEvent::Misplaced { node: event.node, kind: event.kind })
        }
    }
}

/// One line, and not longer than people read.
fn shortened(text: String) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= MESSAGE_MAX {
        return text.chars().map(plain).collect();
    }
    text.chars().take(MESSAGE_MAX).map(plain).chain(['…']).collect()
}

/// A moment as RFC 3339 with milliseconds.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{at:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use ccm_types::RoleName;

    use super::*;
    use crate::RoleChange;

    fn event(reason: &str) -> Event {
        let what = What::Role(RoleChange { role: RoleName::Passive, reason: String::from(reason) });
        let at = "2026-01-02T03:04:05.678912Z".parse().unwrap();
        Event::new(at, NodeId::new("db1.example.com").unwrap(), Some(Epoch::new(3)), &what)
    }

    #[test]
    fn an_event_is_one_json_object_and_is_read_back_from_its_subject() {
        let event = event("started");
        let text = serde_json::to_string(&event).unwrap();
        let expected = [
            r#"{"at":"2026-01-02T03:04:05.678Z","node":"db1.example.com","kind":"role","epoch":3,"#,
            r#""message":"db1.example.com is PASSIVE: started","#,
            r#""details":{"role":"PASSIVE","reason":"started"}}"#,
        ];
        let expected = expected.concat();
        assert_eq!(text, expected);
        let subject = event.subject("convex.test.history");
        assert_eq!(subject, "convex.test.history.db1=2Eexample=2Ecom.role");
        assert_eq!(Event::read(&subject, text.as_bytes()).unwrap(), event);
    }

    #[test]
    fn what_is_no_event_of_its_subject_is_refused() {
        let text = serde_json::to_string(&event("started")).unwrap();
        let table = [
            ("convex.test.history.other.role", text.clone()),
            ("convex.test.history.db1=2Eexample=2Ecom.move", text.clone()),
            ("convex.test.history.db1=2Eexample=2Ecom.role", text.replace("role", "rule")),
            ("convex.test.history.db1=2Eexample=2Ecom.role", text.replace("03:04", "99:04")),
            ("convex.test.history.db1=2Eexample=2Ecom.role", String::from("{ nonsense")),
        ];
        for (subject, text) in table {
            assert!(Event::read(subject, text.as_bytes()).is_err(), "{subject} {text}");
        }
    }

    #[test]
    fn a_field_that_a_later_version_has_is_ignored_and_a_sentence_stays_short() {
        let long = event(&"x\n".repeat(4000));
        assert!(long.message.chars().count() <= MESSAGE_MAX + 1 && !long.message.contains('\n'));
        let mut value = serde_json::to_value(&long).unwrap();
        assert!(value["details"]["reason"].as_str().unwrap().ends_with('…'));
        value["more"] = Value::from(1);
        let subject = long.subject("s");
        assert_eq!(Event::read(&subject, value.to_string().as_bytes()).unwrap(), long);
    }
}
