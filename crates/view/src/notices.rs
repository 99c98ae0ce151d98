//! What somebody should know, the worst first.

use ccm_types::{Monotonic, NodeId, RoleName};

use crate::look::Own;
use crate::nodes::Nodes;
use crate::{Cell, NodeRow, Severity, span};

/// Notices that are shown.
const NOTICES_MAX: usize = 12;

/// What notices are made of.
pub(crate) struct Seen<'a> {
    pub(crate) node: &'a NodeId,
    pub(crate) own: &'a Own,
    pub(crate) nodes: &'a Nodes,
    pub(crate) rows: &'a [NodeRow],
    /// Since when there is no connection to NATS, when there is none.
    pub(crate) away: Option<Monotonic>,
    pub(crate) at: Monotonic,
}

/// The notices.
pub(crate) fn notices(seen: &Seen<'_>) -> Vec<Cell> {
    let mut notices = Vec::new();
    notices.extend(nats_away(seen).or_else(|| untold(seen)));
    notices.extend(two_primaries(seen));
    let own = seen.own;
    // That NATS is away is said already, and with the time.
    let told = own.problem.iter().filter(|words| own.connected || !words.starts_with("NATS is"));
    notices.extend(told.map(|words| {
        let severity = if own.answered { Severity::Warn } else { Severity::Bad };
        Cell::new(severity, format!("{}: {words}", seen.node))
    }));
    notices.extend(seen.rows.iter().filter(|row| !row.own).filter_map(other));
    notices.extend(alone(seen));
    notices.sort_by_key(|notice| std::cmp::Reverse(notice.severity));
    notices.truncate(NOTICES_MAX);
    notices
}

fn nats_away(seen: &Seen<'_>) -> Option<Cell> {
    let since = seen.away?;
    let ms = u64::try_from(seen.at.since(since).as_millis()).unwrap_or(u64::MAX);
    let node = seen.node;
    let words = format!(
        "NATS is not reachable from {node}, seen for {}: what the others do is not known",
        span(ms)
    );
    Some(Cell::new(Severity::Bad, words))
}

/// NATS is there and does not answer.
fn untold(seen: &Seen<'_>) -> Option<Cell> {
    (!seen.nodes.are_told()).then(|| {
        let words = "NATS does not tell what the nodes say: what the others do is not known";
        Cell::new(Severity::Warn, words)
    })
}

/// Two nodes that say at once that they are PRIMARY.
fn two_primaries(seen: &Seen<'_>) -> Option<Cell> {
    let primary = |id: &&NodeId| {
        let own = (*id == seen.node).then_some(seen.own.role).flatten();
        let said = || seen.nodes.fresh(id, seen.at).map(|said| said.role);
        own.or_else(said) == Some(RoleName::Primary)
    };
    let all: Vec<String> = seen.nodes.ids().filter(primary).map(ToString::to_string).collect();
    // In a move the old one's last word may be two seconds old.
    (all.len() > 1).then(|| {
        let words = format!("{} say that they are PRIMARY", all.join(" and "));
        Cell::new(Severity::Warn, words)
    })
}

fn other(row: &NodeRow) -> Option<Cell> {
    let NodeRow { node, heard, note, .. } = row;
    match heard.severity {
        Severity::Bad => {
            let words = format!("{node} has fallen silent: last heard of {}", heard.words);
            Some(Cell::new(Severity::Bad, words))
        }
        Severity::Warn => {
            let words = format!("{node}: its daemon {}, in order", heard.words);
            Some(Cell::new(Severity::Warn, words))
        }
        Severity::Good if !note.is_empty() => {
            Some(Cell::new(Severity::Warn, format!("{node}: {note}")))
        }
        Severity::Good | Severity::Plain | Severity::Unknown => None,
    }
}

/// A primary without a replica that follows.
fn alone(seen: &Seen<'_>) -> Option<Cell> {
    let leads = seen.own.role == Some(RoleName::Primary) && seen.nodes.are_told();
    let mut others = seen.nodes.ids().filter(|id| *id != seen.node);
    let follows = |id| seen.nodes.fresh(id, seen.at).is_some_and(|s| s.role == RoleName::Passive);
    (leads && !others.any(follows)).then(|| {
        let words = "no other node follows: there is nobody to take over";
        Cell::new(Severity::Warn, words)
    })
}
