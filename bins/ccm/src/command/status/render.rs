//! The status as text. Pure.

/// What the text says.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) cluster: String,
    pub(super) node: String,
    /// The servers, separated by spaces.
    pub(super) servers: String,
    /// `address/prefix`
    pub(super) vip: Option<String>,
    /// `PRIMARY`, `PASSIVE`; `None` when the daemon does not answer.
    pub(super) role: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) backend: Option<String>,
    pub(super) lag_ms: Option<u64>,
    pub(super) vip_held: Option<bool>,
    /// Why this node would not take a lease that is free.
    pub(super) not_eligible: Option<String>,
    pub(super) problem: Option<String>,
    /// Data files that were set aside, and where to look.
    pub(super) diverged: Vec<String>,
    pub(super) nodes: Vec<Row>,
}

/// A line of the table of nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) node: String,
    pub(super) role: String,
    pub(super) backend: String,
    pub(super) txid: Option<u64>,
    pub(super) lag_ms: Option<u64>,
    /// When the node was last heard of, in words.
    pub(super) seen: String,
    pub(super) problem: Option<String>,
}

const UNKNOWN: &str = "unknown";

/// The whole text.
pub(super) fn text(shown: &Shown) -> String {
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| UNKNOWN.into());
    let mut lines = vec![
        String::from("Cluster Status"),
        String::from("=============="),
        String::new(),
        field("Cluster ID", &shown.cluster),
        field("Node ID", &shown.node),
        field("NATS", &format!("[{}]", shown.servers)),
        field("VIP", shown.vip.as_deref().unwrap_or("(none)")),
        String::new(),
        field("Role", shown.role.as_deref().unwrap_or("UNKNOWN (daemon not responding)")),
        field("Leader", shown.leader.as_deref().unwrap_or("(none)")),
        field("Backend", &or_unknown(&shown.backend)),
        field("Rep. Lag", &millis(shown.lag_ms)),
    ];
    if shown.vip.is_some() {
        lines.push(field("VIP Status", &vip_status(shown)));
    }
    if let Some(why) = &shown.not_eligible {
        lines.push(field("Candidate", &format!("no: {why}")));
    }
    if let Some(problem) = &shown.problem {
        lines.extend([String::new(), field("Problem", problem)]);
    }
    if let Some((first, more)) = shown.diverged.split_first() {
        lines.extend([String::new(), field("Diverged", first)]);
        lines.extend(more.iter().map(|line| format!("{:<13}{line}", "")));
    }
    if !shown.nodes.is_empty() {
        lines.push(String::new());
        lines.extend(table(&shown.nodes));
    }
    lines.join("\n") + "\n"
}

/// A label and a value that begins in column 14.
fn field(label: &str, value: &str) -> String {
    format!("{:<13}{value}", format!("{label}:"))
}

fn millis(value: Option<u64>) -> String {
    value.map_or_else(|| String::from(UNKNOWN), |ms| format!("{ms}ms"))
}

/// Held or not, as measured; loud when that is not what the role wants.
fn vip_status(shown: &Shown) -> String {
    match (shown.vip_held, shown.role.as_deref()) {
        (None, _) => String::from(UNKNOWN),
        (Some(true), Some("PRIMARY")) => String::from("held (this node is PRIMARY)"),
        (Some(false), Some("PRIMARY")) => String::from("NOT HELD although this node is PRIMARY"),
        (Some(false), _) => String::from("not held"),
        (Some(true), Some(role)) => format!("HELD although this node is {role}"),
        // The guard takes it off when the lease of a daemon that is gone runs out.
        (Some(true), None) => String::from("held (no daemon of this node answers)"),
    }
}

fn table(rows: &[Row]) -> Vec<String> {
    let header = ["NODE", "ROLE", "BACKEND", "TXID", "LAG", "SEEN", "PROBLEM"].map(String::from);
    let mut cells = vec![header];
    cells.extend(rows.iter().map(|row| {
        let dash = || String::from("-");
        [
            row.node.clone(),
            row.role.clone(),
            row.backend.clone(),
            row.txid.map_or_else(dash, |txid| txid.to_string()),
            row.lag_ms.map_or_else(dash, |ms| format!("{ms}ms")),
            row.seen.clone(),
            row.problem.clone().unwrap_or_default(),
        ]
    }));
    let mut widths = [0; 7];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |line: &[String; 7]| {
        let padded: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        String::from(padded.join("  ").trim_end())
    };
    cells.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary() -> Shown {
        Shown {
            cluster: String::from("convex-prod"),
            node: String::from("node-1"),
            servers: String::from("nats://10.0.1.10:4222 nats://10.0.1.11:4222"),
            vip: Some(String::from("10.0.1.100/24")),
            role: Some(String::from("PRIMARY")),
            leader: Some(String::from("node-1")),
            backend: Some(String::from("running")),
            lag_ms: Some(0),
            vip_held: Some(true),
            ..Shown::default()
        }
    }

    #[test]
    fn a_primary_is_shown_as_the_contract_prints_it() {
        let expected = "\
Cluster Status
==============

Cluster ID:  convex-prod
Node ID:     node-1
NATS:        [nats://10.0.1.10:4222 nats://10.0.1.11:4222]
VIP:         10.0.1.100/24

Role:        PRIMARY
Leader:      node-1
Backend:     running
Rep. Lag:    0ms
VIP Status:  held (this node is PRIMARY)
";
        assert_eq!(text(&primary()), expected);
    }

    #[test]
    fn a_silent_daemon_leaves_what_nats_knows() {
        let row = Row {
            node: String::from("node-1"),
            role: String::from("PRIMARY"),
            backend: String::from("running"),
            txid: Some(1042),
            lag_ms: Some(0),
            seen: String::from("1 s ago"),
            problem: None,
        };
        let other = Row {
            node: String::from("db2.example.com"),
            role: String::from("PASSIVE"),
            backend: String::from("stopped"),
            seen: String::from("now"),
            problem: Some(String::from("the disk is full")),
            ..Row::default()
        };
        let shown = Shown {
            node: String::from("node-2"),
            role: None,
            backend: None,
            lag_ms: None,
            vip_held: None,
            vip: None,
            nodes: vec![row, other],
            problem: Some(String::from("start it")),
            diverged: vec![String::from("data.db.diverged-e1-t42-1"), String::from("look at it")],
            ..primary()
        };
        let expected = "\
Cluster Status
==============

Cluster ID:  convex-prod
Node ID:     node-2
NATS:        [nats://10.0.1.10:4222 nats://10.0.1.11:4222]
VIP:         (none)

Role:        UNKNOWN (daemon not responding)
Leader:      node-1
Backend:     unknown
Rep. Lag:    unknown

Problem:     start it

Diverged:    data.db.diverged-e1-t42-1
             look at it

NODE             ROLE     BACKEND  TXID  LAG  SEEN     PROBLEM
node-1           PRIMARY  running  1042  0ms  1 s ago
db2.example.com  PASSIVE  stopped  -     -    now      the disk is full
";
        assert_eq!(text(&shown), expected);
    }

    #[test]
    fn a_node_that_does_not_take_over_says_why() {
        let why = String::from("node.candidate is false in its configuration");
        let text = text(&Shown { not_eligible: Some(why), ..primary() });
        let line = "Candidate:   no: node.candidate is false in its configuration\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn the_virtual_ip_is_said_as_measured() {
        let status = |role: &str, held| {
            vip_status(&Shown { role: Some(role.into()), vip_held: held, ..primary() })
        };
        assert_eq!(status("PASSIVE", Some(false)), "not held");
        assert_eq!(status("PASSIVE", Some(true)), "HELD although this node is PASSIVE");
        assert_eq!(status("PRIMARY", Some(false)), "NOT HELD although this node is PRIMARY");
        assert_eq!(status("PRIMARY", None), "unknown");
        let silent = |held| vip_status(&Shown { role: None, vip_held: held, ..primary() });
        assert_eq!(silent(Some(true)), "held (no daemon of this node answers)");
        assert_eq!(silent(Some(false)), "not held");
    }
}
