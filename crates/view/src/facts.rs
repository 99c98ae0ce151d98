//! What is known of the node that was asked, line by line, and the lease.

use ccm_types::RoleName;
use jiff::Timestamp;

use crate::look::Own;
use crate::nodes::{backend, lag, role, txid};
use crate::{Cell, Fact, LeaseClock, Severity, bytes, span};

/// The share of the lease that is left when a renewal is late, in percent.
const LOW_PERCENT: u64 = 40;

/// The lease: on its holder how long it is valid, elsewhere how long until it counts as free.
pub(crate) fn lease(own: &Own, ttl_ms: u64, age_ms: u64) -> LeaseClock {
    let (words, left) = match (own.lease_ms, own.free_in_ms) {
        (Some(left), _) => ("until it ends unless renewed", Some(left)),
        (None, Some(left)) => ("until it is free unless renewed", Some(left)),
        (None, None) => ("not known here", None),
    };
    LeaseClock {
        words: String::from(words),
        left_ms: left.map(|left| left.saturating_sub(age_ms)),
        of_ms: ttl_ms,
        low_ms: ttl_ms * LOW_PERCENT / 100,
    }
}

/// Everything else.
pub(crate) fn facts(own: &Own, now: Timestamp) -> Vec<Fact> {
    let mut facts = vec![
        leader(own, now),
        fact("Role", own.role.map_or_else(Cell::unknown, role), ""),
        running(own),
        position(own),
        behind(own),
        vip(own),
        nats(own),
    ];
    if let Some(why) = &own.not_eligible {
        let cell = Cell::new(Severity::Warn, "would not take over");
        facts.push(fact("Candidate", cell, why.clone()));
    }
    let (count, size) = own.diverged;
    if count > 0 {
        let words = format!("{count} data files, {}", bytes(size));
        let note = "may hold what the cluster does not have: ccm diverged list";
        facts.push(fact("Set aside", Cell::new(Severity::Warn, words), note));
    }
    facts
}

fn fact(label: &'static str, cell: Cell, note: impl Into<String>) -> Fact {
    Fact { label, severity: cell.severity, words: cell.words, note: note.into() }
}

fn leader(own: &Own, now: Timestamp) -> Fact {
    let mut notes = Vec::new();
    let cell = match (&own.leader, own.leader_known) {
        (Some(leader), true) => {
            notes.extend(own.since.as_deref().map(|since| led_for(since, now)));
            Cell::new(Severity::Good, leader.to_string())
        }
        (Some(leader), false) => {
            notes.push(format!("{leader} when NATS was there"));
            Cell::unknown()
        }
        (None, true) => Cell::new(Severity::Bad, "nobody"),
        (None, false) => Cell::unknown(),
    };
    notes.extend(own.epoch.map(|epoch| format!("epoch {epoch}")));
    fact("Leader", cell, notes.join(", "))
}

/// How long a leadership lasts, and when it began.
fn led_for(since: &str, now: Timestamp) -> String {
    let Ok(began) = since.parse::<Timestamp>() else { return format!("since {since}") };
    let ms = u64::try_from(now.duration_since(began).as_millis()).unwrap_or(0);
    format!("for {}, since {}", span(ms), utc(began))
}

/// A moment as it is written for people, to the second.
pub(crate) fn utc(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn running(own: &Own) -> Fact {
    let cell = own.backend.as_deref().map_or_else(Cell::unknown, |s| backend(own.role, s));
    let up = matches!(own.backend.as_deref(), Some("running" | "unhealthy"));
    let note = own.uptime_seconds.filter(|_| up).map(|s| format!("for {}", span(s * 1000)));
    fact("Backend", cell, note.unwrap_or_default())
}

fn position(own: &Own) -> Fact {
    let note = match (own.txid, own.role) {
        (Some(_), Some(RoleName::Primary)) => "the last transaction that NATS has",
        (Some(_), Some(RoleName::Passive)) => "the last transaction in the replica",
        (Some(_) | None, _) => "",
    };
    fact("TXID", txid(own.txid), note)
}

fn behind(own: &Own) -> Fact {
    let note = match (own.lag_ms, own.role) {
        (Some(_), Some(RoleName::Primary)) => {
            let lacks = own.unshipped.map(|size| format!(", {} in all", bytes(size)));
            let age = "age of the oldest commit that NATS lacks";
            format!("{age}{}", lacks.unwrap_or_default())
        }
        (Some(_), Some(RoleName::Passive)) => String::from("behind what NATS has"),
        (None, Some(RoleName::Passive)) if own.txid.is_some() => {
            String::from("what NATS has by now is not known")
        }
        (Some(_) | None, _) => String::new(),
    };
    fact("Lag", lag(own.lag_ms), note)
}

fn vip(own: &Own) -> Fact {
    let Some((address, held)) = &own.vip else {
        let cell = match own.vip_told {
            true => Cell::new(Severity::Plain, "none"),
            false => Cell::unknown(),
        };
        return fact("Virtual IP", cell, "");
    };
    let (severity, words) = match (held, own.role) {
        (true, Some(RoleName::Primary)) => (Severity::Good, "held here"),
        (true, Some(RoleName::Passive)) => (Severity::Bad, "held here although PASSIVE"),
        (false, Some(RoleName::Primary)) => (Severity::Bad, "NOT held although PRIMARY"),
        (false, Some(RoleName::Passive)) => (Severity::Plain, "not held here"),
        (true, None) => (Severity::Warn, "held here"),
        (false, None) => (Severity::Plain, "not held here"),
    };
    fact("Virtual IP", Cell::new(severity, words), address.clone())
}

fn nats(own: &Own) -> Fact {
    let cell = match own.connected {
        true => Cell::new(Severity::Good, "connected"),
        false => Cell::new(Severity::Bad, "not reachable"),
    };
    fact("NATS", cell, own.server.clone().unwrap_or_default())
}
