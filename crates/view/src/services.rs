//! What the nodes offer, and what has happened.

use ccm_discovery::{Health, ServiceRecord};
use ccm_history::{Event, Kind};
use jiff::Timestamp;

use crate::facts::utc;
use crate::{Cell, EventRow, Events, ServiceRow, Services, Severity, ago};

/// Events that are shown.
const EVENTS_MAX: usize = 100;
/// Services that are shown.
const SERVICES_MAX: usize = 200;

/// Something that was asked for at every look.
#[derive(Debug, Clone)]
pub(crate) struct Asked<T> {
    /// What was told last.
    pub(crate) last: Vec<T>,
    /// Why the last look could not tell, in words.
    pub(crate) missing: Option<String>,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self { last: Vec::new(), missing: None }
    }
}

impl<T> Asked<T> {
    pub(crate) fn note(&mut self, told: Result<Vec<T>, String>) {
        match told {
            Ok(told) => *self = Self { last: told, missing: None },
            Err(why) => self.missing = Some(why),
        }
    }
}

pub(crate) fn services(asked: &Asked<ServiceRecord>) -> Services {
    let old = asked.missing.is_some();
    let row = |record: &ServiceRecord| ServiceRow {
        service: record.name.to_string(),
        node: record.node.to_string(),
        endpoint: record.endpoint().to_string(),
        protocol: record.protocol.to_string(),
        health: health(record.health, old),
        tags: record.tags.join(", "),
    };
    let more = asked.last.len().saturating_sub(SERVICES_MAX);
    let notice = match &asked.missing {
        Some(why) => format!("Not known at present: {why}"),
        None if asked.last.is_empty() => String::from("No service is announced"),
        None if more > 0 => format!("{more} more: ccm services list"),
        None => String::new(),
    };
    Services { notice, rows: asked.last.iter().take(SERVICES_MAX).map(row).collect() }
}

fn health(health: Health, old: bool) -> Cell {
    if old {
        return Cell::new(Severity::Unknown, format!("unknown, was {health}"));
    }
    let severity = match health {
        Health::Passing => Severity::Good,
        Health::Standby => Severity::Plain,
        Health::Critical => Severity::Bad,
    };
    Cell::new(severity, health.to_string())
}

pub(crate) fn events(asked: &Asked<Event>, now: Timestamp) -> Events {
    let notice = match &asked.missing {
        Some(why) => format!("Newer events may be missing: {why}"),
        None if asked.last.is_empty() => String::from("No event is known"),
        None => String::new(),
    };
    let newest = asked.last.iter().rev().take(EVENTS_MAX);
    Events { notice, rows: newest.map(|event| row(event, now)).collect() }
}

fn row(event: &Event, now: Timestamp) -> EventRow {
    let ms = u64::try_from(now.duration_since(event.at).as_millis()).unwrap_or(0);
    EventRow {
        at: utc(event.at),
        ago: ago(ms),
        node: event.node.to_string(),
        kind: Cell::new(severity(event.kind), event.kind.as_str().replace('-', " ")),
        words: event.message.clone(),
    }
}

fn severity(kind: Kind) -> Severity {
    match kind {
        Kind::Role | Kind::Move => Severity::Plain,
        Kind::Failover | Kind::Backend | Kind::NatsOutage | Kind::Refused => Severity::Warn,
        Kind::Divergence => Severity::Bad,
    }
}
