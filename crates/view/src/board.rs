//! What is remembered from look to look, and what is shown of it.

use ccm_discovery::ServiceRecord;
use ccm_history::Event;
use ccm_types::{ClusterId, Monotonic, NodeId};
use jiff::Timestamp;

use crate::facts::{facts, lease};
use crate::headline::headline;
use crate::lag::Lags;
use crate::look::Own;
use crate::nodes::Nodes;
use crate::notices::{Seen, notices};
use crate::services::{Asked, events, services};
use crate::{Look, Shown};

/// Whom it is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node that is asked.
    pub node: NodeId,
    /// How long a silent holder keeps the lease, in milliseconds.
    pub ttl_ms: u64,
}

/// What is known of a cluster, from look to look.
#[derive(Debug, Clone)]
pub struct Board {
    subject: Subject,
    own: Own,
    looked_at: Option<Monotonic>,
    /// Since when NATS was found away.
    away: Option<Monotonic>,
    nodes: Nodes,
    lags: Lags,
    services: Asked<ServiceRecord>,
    events: Asked<Event>,
}

impl Board {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            own: Own::default(),
            looked_at: None,
            away: None,
            nodes: Nodes::default(),
            lags: Lags::default(),
            services: Asked::default(),
            events: Asked::default(),
        }
    }

    /// Takes in a look, which is later than the ones before it.
    pub fn note(&mut self, look: Look) {
        let Look { at, now, told, services, events } = look;
        self.own = told.own();
        self.looked_at = Some(at);
        self.away = (!self.own.connected).then_some(self.away.unwrap_or(at));
        self.nodes.note(at, now, told.nodes());
        self.services.note(services);
        self.events.note(events);
        self.note_lags(at);
    }

    fn note_lags(&mut self, at: Monotonic) {
        let node = &self.subject.node;
        self.lags.note(node, at, self.own.lag_ms);
        for id in self.nodes.ids().filter(|id| *id != node) {
            let said = self.nodes.fresh(id, at).filter(|said| said.txid.get() > 0);
            self.lags.note(id, at, said.map(|said| said.replication_lag_ms));
        }
        self.lags.forget_old(at);
    }

    /// What to show at a moment that is not before the last look.
    #[must_use]
    pub fn shown(&self, at: Monotonic, now: Timestamp) -> Shown {
        let Self { subject, own, nodes, .. } = self;
        let age = self.looked_at.map_or(0, |then| at.since(then).as_millis());
        let age_ms = u64::try_from(age).unwrap_or(u64::MAX);
        let rows = nodes.rows(&subject.node, own, at);
        let seen = Seen { node: &subject.node, own, nodes, rows: &rows, away: self.away, at };
        Shown {
            cluster: subject.cluster.to_string(),
            node: subject.node.to_string(),
            age_ms,
            headline: headline(&subject.node, own, nodes, at),
            notices: notices(&seen),
            lease: lease(own, subject.ttl_ms, age_ms),
            facts: facts(own, now),
            lag: self.lags.chart(at),
            services: services(&self.services),
            events: events(&self.events, now),
            nodes: rows,
        }
    }
}
