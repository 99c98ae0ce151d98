//! What is recorded, and how it is told to people and to programs. Pure.

use std::time::Duration;

use ccm_types::{Epoch, NodeId, RoleName, Txid};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::phases::{millis, took_words};
use crate::{Kind, Phases};

/// One thing that has happened to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its role is another one now.
    Role(RoleChange),
    /// It serves, because the leadership before had run out.
    Failover(Takeover),
    /// It serves, because the one before has given the leadership away.
    Taken(Takeover),
    /// It has given the leadership away.
    Given(Handover),
    /// Its backend.
    Backend(BackendNews),
    /// A file was set aside.
    Diverged(Divergence),
    /// It had no connection to NATS.
    NatsOutage(Outage),
    /// It did not take a leadership, or could not use it.
    Refused(Refusal),
}

/// A node has a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleChange {
    /// The role.
    pub role: RoleName,
    /// Why, in words.
    pub reason: String,
}

/// A node serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// Who led before: another node, or this one itself.
    pub from: NodeId,
    /// From the last sign of life of that one, or from its release, until the backend served.
    pub total: Duration,
    /// How long each part took.
    pub phases: Phases,
}

/// A node has given the leadership away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// To whom; `None` is whoever comes first.
    pub to: Option<NodeId>,
    /// Why, in words.
    pub reason: String,
    /// From the decision until the lease was given back.
    pub total: Duration,
    /// How long each part took.
    pub phases: Phases,
}

/// Something about the backend of a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendNews {
    /// It has ended, or does not answer.
    Failed {
        /// In words.
        why: String,
    },
    /// It runs again.
    Restarted,
}

/// A file was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Its name, as `ccm diverged` takes it.
    pub file: String,
    /// The epoch under which it was served, 0 when it never was.
    pub served: Epoch,
    /// The last of its transactions that is known to be in the bucket.
    pub txid: Option<Txid>,
    /// Its size in bytes, with its `-wal`.
    pub bytes: u64,
}

/// A time without a connection to NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// Where a candidate was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The lease was free and was not asked for.
    Election,
    /// The lease was won and could not be used.
    Promotion,
    /// An operator has asked for it.
    Command,
}

/// A node did not take a leadership, or could not use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// How far it came.
    pub stage: Stage,
    /// Why, in words.
    pub why: String,
    /// How long each part took.
    pub phases: Phases,
}

impl What {
    /// What sort of thing it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Role(_) => Kind::Role,
            Self::Failover(_) => Kind::Failover,
            Self::Taken(_) | Self::Given(_) => Kind::Move,
            Self::Backend(_) => Kind::Backend,
            Self::Diverged(_) => Kind::Divergence,
            Self::NatsOutage(_) => Kind::NatsOutage,
            Self::Refused(_) => Kind::Refused,
        }
    }

    /// One sentence for people.
    #[must_use]
    pub fn message(&self, node: &NodeId, epoch: Option<Epoch>) -> String {
        match self {
            Self::Role(RoleChange { role, reason }) => format!("{node} is {role}: {reason}"),
            Self::Failover(Takeover { from, total, phases }) => {
                let (how, total) = (failed(node, from), took_words(*total));
                format!("{how} and serves after {total}{}", parts(phases))
            }
            Self::Taken(Takeover { from, total, phases }) => {
                let total = took_words(*total);
                format!(
                    "{node} took the leadership over that {from} gave away and serves after \
                     {total}{}",
                    parts(phases)
                )
            }
            Self::Given(Handover { to, reason, total, phases }) => {
                let of = epoch.map_or_else(String::new, |epoch| format!(" of epoch {epoch}"));
                let to = to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
                let total = took_words(*total);
                format!(
                    "{node} gave the leadership{of} away{to} within {total}, because {reason}{}",
                    parts(phases)
                )
            }
            Self::Backend(BackendNews::Failed { why }) => {
                format!("the backend of {node} is restarted: {why}")
            }
            Self::Backend(BackendNews::Restarted) => format!("the backend of {node} serves again"),
            Self::Diverged(Divergence { file, served, txid, bytes }) => {
                let until = txid.map_or_else(
                    || String::from("nothing of it is known to be"),
                    |txid| format!("up to transaction {txid} it is"),
                );
                format!(
                    "{node} set {file} aside, {bytes} bytes served in epoch {served}, which may \
                     hold writes that the cluster does not have: {until} in the bucket"
                )
            }
            Self::NatsOutage(outage) => {
                let lasted = took_words(outage.lasted());
                format!("{node} had no connection to NATS for {lasted}, until {:.0}", outage.to)
            }
            Self::Refused(Refusal { stage, why, phases }) => match stage {
                Stage::Election => {
                    format!("the lease is free and {node} does not take it: {why}")
                }
                Stage::Promotion => {
                    format!("{node} won the lease and could not serve: {why}{}", parts(phases))
                }
                Stage::Command => format!("{node} was told to become PRIMARY and did not: {why}"),
            },
        }
    }

    /// The same for programs.
    #[must_use]
    pub fn details(&self) -> Map<String, Value> {
        let value = match self {
            Self::Role(RoleChange { role, reason }) => json!({ "role": role, "reason": reason }),
            Self::Failover(takeover) => takeover.details("expired"),
            Self::Taken(takeover) => takeover.details("released"),
            Self::Given(Handover { to, reason, total, phases }) => json!({
                "side": "given", "to": to, "reason": reason,
                "totalMs": millis(*total), "phases": phases,
            }),
            Self::Backend(BackendNews::Failed { why }) => json!({ "state": "failed", "why": why }),
            Self::Backend(BackendNews::Restarted) => json!({ "state": "restarted" }),
            Self::Diverged(Divergence { file, served, txid, bytes }) => json!({
                "file": file, "servedEpoch": served, "txid": txid, "bytes": bytes,
            }),
            Self::NatsOutage(outage) => json!({
                "from": format!("{:.3}", outage.from), "to": format!("{:.3}", outage.to),
                "lastedMs": millis(outage.lasted()),
            }),
            Self::Refused(Refusal { stage, why, phases }) => {
                let stage = stage.as_str();
                json!({ "stage": stage, "why": why, "phases": phases })
            }
        };
        match value {
            Value::Object(map) => map,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        }
    }
}

impl Takeover {
    fn details(&self, reason: &str) -> Value {
        let Self { from, total, phases } = self;
        json!({
            "side": "taken", "from": from, "reason": reason,
            "totalMs": millis(*total), "phases": phases,
        })
    }
}

impl Outage {
    /// How long it lasted; nothing when the clock was set back meanwhile.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        let lasted = self.to.duration_since(self.from);
        Duration::try_from(lasted).unwrap_or(Duration::ZERO)
    }
}

impl Stage {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Election => "election",
            Self::Promotion => "promotion",
            Self::Command => "command",
        }
    }
}

fn failed(node: &NodeId, from: &NodeId) -> String {
    if node == from {
        format!("{node} took its own lease again, which had run out,")
    } else {
        format!("{node} took over from {from}, which had fallen silent,")
    }
}

/// `: catch-up 12 ms, swap 3 ms`
fn parts(phases: &Phases) -> String {
    if phases.is_empty() { String::new() } else { format!(": {phases}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;

    fn node(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    fn takeover(from: &str) -> Takeover {
        let mut phases = Phases::default();
        phases.add(Phase::Detection, Duration::from_millis(3100));
        phases.add(Phase::BackendStart, Duration::from_millis(800));
        Takeover { from: node(from), total: Duration::from_millis(4000), phases }
    }

    fn refused(stage: Stage) -> What {
        let why = String::from("why");
        What::Refused(Refusal { stage, why, phases: Phases::default() })
    }

    #[test]
    fn everything_is_told_in_one_sentence() {
        let outage = Outage {
            from: "2026-01-02T03:04:05.25Z".parse().unwrap(),
            to: "2026-01-02T03:04:17.75Z".parse().unwrap(),
        };
        let given = Handover {
            to: Some(node("n-1")),
            reason: String::from("an operator asked for a move to n-1"),
            total: Duration::from_millis(300),
            phases: Phases::default(),
        };
        let divergence = |txid: Option<u64>| {
            let (file, txid) = (String::from("f"), txid.map(Txid::new));
            What::Diverged(Divergence { file, served: Epoch::new(1), txid, bytes: 4096 })
        };
        let role = RoleChange { role: RoleName::Passive, reason: String::from("started") };
        let table = [
            (What::Role(role), "n-2 is PASSIVE: started"),
            (
                What::Failover(takeover("n-1")),
                "n-2 took over from n-1, which had fallen silent, and serves after 4.0 s: \
                 detection 3.1 s, backend start 800 ms",
            ),
            (
                What::Failover(takeover("n-2")),
                "n-2 took its own lease again, which had run out, and serves after 4.0 s: \
                 detection 3.1 s, backend start 800 ms",
            ),
            (
                What::Taken(takeover("n-1")),
                "n-2 took the leadership over that n-1 gave away and serves after 4.0 s: \
                 detection 3.1 s, backend start 800 ms",
            ),
            (
                What::Given(given),
                "n-2 gave the leadership of epoch 7 away to n-1 within 300 ms, because an \
                 operator asked for a move to n-1",
            ),
            (
                What::Backend(BackendNews::Failed { why: String::from("exit status 1") }),
                "the backend of n-2 is restarted: exit status 1",
            ),
            (What::Backend(BackendNews::Restarted), "the backend of n-2 serves again"),
            (
                divergence(Some(42)),
                "n-2 set f aside, 4096 bytes served in epoch 1, which may hold writes that the \
                 cluster does not have: up to transaction 42 it is in the bucket",
            ),
            (
                divergence(None),
                "n-2 set f aside, 4096 bytes served in epoch 1, which may hold writes that the \
                 cluster does not have: nothing of it is known to be in the bucket",
            ),
            (
                What::NatsOutage(outage),
                "n-2 had no connection to NATS for 12.5 s, until 2026-01-02T03:04:17Z",
            ),
            (refused(Stage::Election), "the lease is free and n-2 does not take it: why"),
            (refused(Stage::Promotion), "n-2 won the lease and could not serve: why"),
            (refused(Stage::Command), "n-2 was told to become PRIMARY and did not: why"),
        ];
        for (what, sentence) in table {
            assert_eq!(what.message(&node("n-2"), Some(Epoch::new(7))), sentence);
            assert!(!what.details().is_empty(), "{what:?}");
        }
    }

    #[test]
    fn programs_are_told_numbers() {
        let details = What::Failover(takeover("n-1")).details();
        let expected = json!({
            "side": "taken", "from": "n-1", "reason": "expired", "totalMs": 4000,
            "phases": { "detectionMs": 3100, "backendStartMs": 800 },
        });
        assert_eq!(Value::Object(details), expected);
        let (from, to) = (Timestamp::UNIX_EPOCH, "1970-01-01T00:00:02.5Z".parse().unwrap());
        let details = What::NatsOutage(Outage { from, to }).details();
        let expected = json!({
            "from": "1970-01-01T00:00:00.000Z", "to": "1970-01-01T00:00:02.500Z",
            "lastedMs": 2500,
        });
        assert_eq!(Value::Object(details), expected);
        assert_eq!(Outage { from: to, to: from }.lasted(), Duration::ZERO);
    }
}
