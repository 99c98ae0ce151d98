//! The nodes: what each has said last, and how long ago that was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ccm_control::NodeStatus;
use ccm_types::{Monotonic, NodeId, RoleName, Txid};
use jiff::Timestamp;

use crate::look::Own;
use crate::{Cell, NodeRow, Severity, ago, millis};

/// Nodes that are remembered.
const NODES_MAX: usize = 64;
/// A node says something every two seconds: after this it is silent.
const FRESH_MS: u64 = 6_000;
/// NATS keeps what a node says for so long: what is new there is not older.
const KEPT_MS: u64 = 10_000;
/// What is gone from NATS so soon after it was said was taken away by the node itself.
const TAKEN_MS: u64 = 8_000;
/// A node that is silent for so long is forgotten.
const FORGET_MS: u64 = 3_600_000;
/// A lag from here on is worth a look.
const LAG_WARN_MS: u64 = 2_000;
/// A lag from here on is what the alerts call too much.
const LAG_BAD_MS: u64 = 10_000;

/// What one node has said last.
#[derive(Debug, Clone)]
struct Heard {
    said: NodeStatus,
    /// When it said so.
    at: Monotonic,
    /// NATS has it still.
    listed: bool,
    /// The node has taken it away: its daemon has ended in order, or has left.
    ended: bool,
}

impl Heard {
    fn new(said: &NodeStatus, at: Monotonic) -> Self {
        Self { said: said.clone(), at, listed: true, ended: false }
    }
}

/// What is remembered of the nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    heard: BTreeMap<NodeId, Heard>,
    /// When NATS told of the nodes last.
    listed_at: Option<Monotonic>,
    /// NATS told of them at the last look.
    told: bool,
}

impl Nodes {
    /// Takes in what NATS has told, or that it has not.
    pub(crate) fn note(&mut self, at: Monotonic, now: Timestamp, list: Option<&[NodeStatus]>) {
        self.told = list.is_some();
        self.heard.retain(|_, heard| at.since(heard.at).as_millis() < u128::from(FORGET_MS));
        let Some(list) = list else { return };
        for heard in self.heard.values_mut() {
            heard.listed = false;
        }
        for said in list {
            self.hear(at, now, said);
        }
        for heard in self.heard.values_mut() {
            let soon = silent_ms(heard, at) < TAKEN_MS;
            heard.ended = !heard.listed && (heard.ended || soon);
        }
        self.listed_at = Some(at);
    }

    fn hear(&mut self, at: Monotonic, now: Timestamp, said: &NodeStatus) {
        let known = self.heard.get_mut(&said.node_id);
        // Since the last look at most, where that one saw something else.
        let most = match (&known, self.listed_at) {
            (Some(_), Some(before)) => at.since(before),
            (Some(_) | None, _) => Duration::from_millis(KEPT_MS),
        };
        let when = at - age(now, &said.last_seen).min(most);
        if let Some(heard) = known {
            if heard.said.last_seen == said.last_seen {
                heard.listed = true;
            } else {
                *heard = Heard::new(said, when);
            }
            return;
        }
        if self.heard.len() >= NODES_MAX {
            let silent = self.heard.iter().filter(|(_, heard)| !heard.listed);
            let oldest = silent.min_by_key(|(_, heard)| heard.at).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { return };
            self.heard.remove(&oldest);
        }
        self.heard.insert(said.node_id.clone(), Heard::new(said, when));
    }

    /// What a node says at present; `None` when it is silent or nobody could ask.
    pub(crate) fn fresh(&self, node: &NodeId, at: Monotonic) -> Option<&NodeStatus> {
        let heard = self.heard.get(node)?;
        let young = silent_ms(heard, at) <= FRESH_MS;
        (self.told && heard.listed && young).then_some(&heard.said)
    }

    /// How long a node has been silent, in milliseconds.
    pub(crate) fn silent_ms(&self, node: &NodeId, at: Monotonic) -> Option<u64> {
        self.heard.get(node).map(|heard| silent_ms(heard, at))
    }

    /// Whether NATS told of the nodes at the last look.
    pub(crate) fn are_told(&self) -> bool {
        self.told
    }

    /// The nodes that are remembered.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &NodeId> {
        self.heard.keys()
    }

    /// A row for each node that is known of, by its name.
    pub(crate) fn rows(&self, node: &NodeId, own: &Own, at: Monotonic) -> Vec<NodeRow> {
        let mut all: BTreeSet<&NodeId> = self.ids().collect();
        all.insert(node);
        all.extend(own.leader.iter());
        let row = |one: &NodeId| {
            if one == node && own.answered {
                return own_row(one, own);
            }
            let row = match self.fresh(one, at) {
                Some(said) if one != node => {
                    let silent = self.silent_ms(one, at).unwrap_or_default();
                    said_row(said, Cell::new(Severity::Good, ago(silent)))
                }
                Some(_) | None => self.silent_row(one, at),
            };
            if one == node { unanswered(row, own) } else { row }
        };
        all.into_iter().map(row).collect()
    }

    /// A node that says nothing: what it said last is no longer known to be so.
    fn silent_row(&self, node: &NodeId, at: Monotonic) -> NodeRow {
        let known = self.heard.get(node);
        let note = known.map(|Heard { said, .. }| {
            let lag = if has_position(said) { millis(said.replication_lag_ms) } else { "?".into() };
            let NodeStatus { role, backend_status, txid, .. } = said;
            format!("last said {role}, backend {backend_status}, TXID {txid}, lag {lag}")
        });
        let heard = match self.silent_ms(node, at) {
            // NATS itself may be what is away: the node need not be.
            Some(ms) if !self.told => Cell::new(Severity::Unknown, ago(ms)),
            Some(ms) if known.is_some_and(|heard| heard.ended) => {
                Cell::new(Severity::Warn, format!("ended {}", ago(ms)))
            }
            Some(ms) => Cell::new(Severity::Bad, ago(ms)),
            None => Cell::unknown(),
        };
        NodeRow {
            node: node.to_string(),
            own: false,
            role: Cell::unknown(),
            backend: Cell::unknown(),
            txid: Cell::unknown(),
            lag: Cell::unknown(),
            heard,
            note: note.unwrap_or_default(),
        }
    }
}

fn silent_ms(heard: &Heard, at: Monotonic) -> u64 {
    u64::try_from(at.since(heard.at).as_millis()).unwrap_or(u64::MAX)
}

/// How long ago a moment was, by two clocks on two walls.
fn age(now: Timestamp, then: &str) -> Duration {
    let then: Option<Timestamp> = then.parse().ok();
    then.map(|then| now.duration_since(then).max(jiff::SignedDuration::ZERO).unsigned_abs())
        .unwrap_or_default()
}

fn has_position(said: &NodeStatus) -> bool {
    said.txid != Txid::ZERO
}

/// The row of the node that was asked, where its daemon does not tell everything.
fn unanswered(row: NodeRow, own: &Own) -> NodeRow {
    let heard = match own.connected {
        true => Cell::new(Severity::Bad, "does not answer"),
        false => Cell::unknown(),
    };
    let backend = own.backend.as_deref().map_or(row.backend, |status| backend(None, status));
    NodeRow { own: true, heard, backend, ..row }
}

fn own_row(node: &NodeId, own: &Own) -> NodeRow {
    NodeRow {
        node: node.to_string(),
        own: true,
        role: own.role.map_or_else(Cell::unknown, role),
        backend: own.backend.as_deref().map_or_else(Cell::unknown, |s| backend(own.role, s)),
        txid: txid(own.txid),
        lag: lag(own.lag_ms),
        heard: Cell::new(Severity::Good, "just now"),
        note: notes(own.problem.as_deref(), own.diverged.0),
    }
}

fn said_row(said: &NodeStatus, heard: Cell) -> NodeRow {
    let at = Some(said.txid).filter(|_| has_position(said));
    NodeRow {
        node: said.node_id.to_string(),
        own: false,
        role: role(said.role),
        backend: backend(Some(said.role), &said.backend_status),
        txid: txid(at),
        lag: lag(at.map(|_| said.replication_lag_ms)),
        heard,
        note: notes(said.problem.as_deref(), said.diverged_files),
    }
}

pub(crate) fn role(role: RoleName) -> Cell {
    let severity = match role {
        RoleName::Primary => Severity::Good,
        RoleName::Passive => Severity::Plain,
    };
    Cell::new(severity, role.to_string())
}

/// A backend belongs where the role is, and nowhere else.
pub(crate) fn backend(role: Option<RoleName>, status: &str) -> Cell {
    let severity = match (role, status) {
        (_, "unknown") => Severity::Unknown,
        (Some(RoleName::Primary), "running") => Severity::Good,
        (Some(RoleName::Primary), "starting" | "stopping") => Severity::Warn,
        (Some(RoleName::Primary), _) => Severity::Bad,
        (Some(RoleName::Passive), "stopped") | (None, _) => Severity::Plain,
        (Some(RoleName::Passive), "running" | "unhealthy" | "starting") => Severity::Bad,
        (Some(RoleName::Passive), _) => Severity::Warn,
    };
    Cell::new(severity, status)
}

pub(crate) fn txid(txid: Option<Txid>) -> Cell {
    txid.map_or_else(Cell::unknown, |txid| Cell::new(Severity::Plain, txid.to_string()))
}

pub(crate) fn lag(lag_ms: Option<u64>) -> Cell {
    let Some(ms) = lag_ms else { return Cell::unknown() };
    let severity = match ms {
        ..LAG_WARN_MS => Severity::Good,
        LAG_WARN_MS..LAG_BAD_MS => Severity::Warn,
        _ => Severity::Bad,
    };
    Cell::new(severity, millis(ms))
}

fn notes(problem: Option<&str>, diverged: u64) -> String {
    let aside = (diverged > 0).then(|| format!("{diverged} data files set aside"));
    let all: Vec<String> = problem.map(String::from).into_iter().chain(aside).collect();
    all.join("; ")
}
