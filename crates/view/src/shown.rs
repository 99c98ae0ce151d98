//! What is shown. Its JSON is what the page is sent.

use serde::Serialize;

/// How something is. Never said by colour alone: the words beside it say the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it is to be.
    Good,
    /// Neither good nor bad.
    #[default]
    Plain,
    /// Not known.
    Unknown,
    /// Worth a look.
    Warn,
    /// Somebody should act.
    Bad,
}

impl Severity {
    /// A sign that needs no colour.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Plain => "·",
            Self::Unknown => "?",
            Self::Warn => "▲",
            Self::Bad => "✖",
        }
    }
}

/// Words and how what they say is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// How it is.
    pub severity: Severity,
    /// What it is.
    pub words: String,
}

impl Cell {
    pub(crate) fn new(severity: Severity, words: impl Into<String>) -> Self {
        Self { severity, words: words.into() }
    }

    pub(crate) fn unknown() -> Self {
        Self::new(Severity::Unknown, "unknown")
    }
}

/// Everything that is shown at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The cluster.
    pub cluster: String,
    /// The node that was asked.
    pub node: String,
    /// How old the last look is, in milliseconds.
    pub age_ms: u64,
    /// The whole in one sentence.
    pub headline: Cell,
    /// What somebody should know, the worst first.
    pub notices: Vec<Cell>,
    /// The lease, as it runs down.
    pub lease: LeaseClock,
    /// What is known of the node that was asked.
    pub facts: Vec<Fact>,
    /// The nodes.
    pub nodes: Vec<NodeRow>,
    /// The lag of the nodes over time.
    pub lag: Chart,
    /// What the nodes offer.
    pub services: Services,
    /// What has happened.
    pub events: Events,
}

/// The lease as it runs down between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseClock {
    /// What runs down, such as "until it ends unless renewed".
    pub words: String,
    /// What is left, in milliseconds; `None` when it is not known here.
    pub left_ms: Option<u64>,
    /// What there was at the beginning, in milliseconds.
    pub of_ms: u64,
    /// Below this it is not as it should be, in milliseconds: a renewal is late.
    pub low_ms: u64,
}

/// One thing that is known of the node that was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// How it is.
    pub severity: Severity,
    /// Its value.
    pub words: String,
    /// More on it.
    pub note: String,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeRow {
    /// The node.
    pub node: String,
    /// It is the one that was asked.
    pub own: bool,
    /// Its role.
    pub role: Cell,
    /// Its backend.
    pub backend: Cell,
    /// The last transaction it has.
    pub txid: Cell,
    /// How far it is behind.
    pub lag: Cell,
    /// When it was heard of.
    pub heard: Cell,
    /// What is wrong with it, or what it said before it fell silent.
    pub note: String,
}

/// The lag of the nodes over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// The time that is shown, in milliseconds.
    pub span_ms: u64,
    /// The highest lag that is shown, in milliseconds: a round number.
    pub top_ms: u64,
    /// [`Chart::top_ms`] in words.
    pub top: String,
    /// One line for each node.
    pub series: Vec<Series>,
}

/// The lag of one node over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Series {
    /// The node.
    pub node: String,
    /// The last lag, in words.
    pub last: String,
    /// How old, and how long the lag was then, in milliseconds; `None` where it was not known.
    pub points: Vec<(u64, Option<u64>)>,
}

/// What the nodes offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Services {
    /// Why there is no more, or none; empty when nothing is missing.
    pub notice: String,
    /// The services by name, then node.
    pub rows: Vec<ServiceRow>,
}

/// One service on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    /// The service.
    pub service: String,
    /// The node it is on.
    pub node: String,
    /// Where it listens.
    pub endpoint: String,
    /// What it speaks.
    pub protocol: String,
    /// How it is.
    pub health: Cell,
    /// What it is found by.
    pub tags: String,
}

/// What has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Why there is no more, or none; empty when nothing is missing.
    pub notice: String,
    /// The newest first.
    pub rows: Vec<EventRow>,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// When, in UTC.
    pub at: String,
    /// How long ago.
    pub ago: String,
    /// The node that tells of it.
    pub node: String,
    /// What kind it is.
    pub kind: Cell,
    /// What has happened.
    pub words: String,
}
