//! The whole in one sentence.

use ccm_types::{Monotonic, NodeId, RoleName};

use crate::look::Own;
use crate::nodes::Nodes;
use crate::{Cell, Severity, ago};

/// The sentence.
pub(crate) fn headline(node: &NodeId, own: &Own, nodes: &Nodes, at: Monotonic) -> Cell {
    if !own.answered && !own.leader_known {
        return Cell::new(Severity::Unknown, "It is not known who leads");
    }
    if own.role == Some(RoleName::Primary) {
        return primary(node, own, nodes.are_told());
    }
    let leader = match (&own.leader, own.leader_known) {
        (Some(leader), true) => leader,
        (None, true) => return Cell::new(Severity::Bad, "Nobody leads"),
        (_, false) => return Cell::new(Severity::Unknown, "It is not known who leads"),
    };
    if leader == node && !own.answered {
        let words = format!("{leader} leads, and its daemon does not answer");
        return Cell::new(Severity::Bad, words);
    }
    if !nodes.are_told() {
        let words = format!("It is not known how {leader} is, who leads");
        return Cell::new(Severity::Unknown, words);
    }
    let Some(said) = nodes.fresh(leader, at) else {
        let silent = nodes.silent_ms(leader, at).map(|ms| format!(" (last {})", ago(ms)));
        let words = format!("{leader} leads, and is not heard of{}", silent.unwrap_or_default());
        return Cell::new(Severity::Bad, words);
    };
    match (said.role, said.backend_status.as_str()) {
        (RoleName::Primary, "running") => {
            Cell::new(Severity::Good, format!("{leader} is PRIMARY and serves"))
        }
        (RoleName::Primary, status) => backend_is(leader, status),
        (RoleName::Passive, _) => Cell::new(Severity::Warn, format!("{leader} takes over")),
    }
}

fn primary(node: &NodeId, own: &Own, told: bool) -> Cell {
    match own.backend.as_deref() {
        Some("running") if own.connected && told => {
            Cell::new(Severity::Good, format!("{node} is PRIMARY and serves"))
        }
        Some("running") if own.connected => {
            let words = format!("{node} is PRIMARY and serves; NATS does not answer");
            Cell::new(Severity::Warn, words)
        }
        Some("running") => {
            let words = format!("{node} is PRIMARY and serves until its lease ends: no NATS");
            Cell::new(Severity::Bad, words)
        }
        Some(status) => backend_is(node, status),
        None => backend_is(node, "unknown"),
    }
}

fn backend_is(node: &NodeId, status: &str) -> Cell {
    let severity = match status {
        "starting" | "stopping" => Severity::Warn,
        _ => Severity::Bad,
    };
    Cell::new(severity, format!("{node} is PRIMARY, its backend is {status}"))
}
