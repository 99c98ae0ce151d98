//! What is documented, alerted on and drawn is what is exposed, no more and no less.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ccm_harness::{Exposition, promtool};
use ccm_health::metrics::{
    Backend, BackendState, Counts, Format, History, Lease, Level, Nats, Peers, Reading,
    ReplicationReading, Service, Takeover, write,
};
use ccm_types::{ClusterId, Epoch, NodeId, ServiceName, Txid};
use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Everything that can be measured has been.
fn full() -> Reading {
    Reading {
        cluster: ClusterId::new("convex-prod").unwrap(),
        node: NodeId::new("node-1.example").unwrap(),
        version: "1.2.3",
        phase: Some("primary"),
        phases: &["passive", "primary"],
        candidate: true,
        problem: false,
        lease: Some(Lease {
            remaining: Some(Duration::from_millis(7_500)),
            epoch: Some(Epoch::new(42)),
        }),
        backend: Backend { state: BackendState::Running, uptime: Duration::from_secs(3600) },
        replication: Some(ReplicationReading {
            txid: Some(Txid::new(1042)),
            lag: Some(Duration::from_millis(50)),
            unshipped_age: Some(Duration::from_millis(50)),
            unshipped_bytes: Some(4152),
        }),
        vip_held: Some(true),
        vip_announced: Some(5),
        peers: Some(Peers { nodes: 2, ignored: 0 }),
        history: History { published: 7, dropped: 0, waiting: 1, ignored: 0 },
        nats: Some(Nats { connected: true, connects: 2, rtt: Some(Duration::from_micros(310)) }),
        levels: vec![Level { level: 9, objects: 3, bytes: 4096 }],
        snapshot_age: Some(Duration::from_secs(60)),
        services: vec![Service { name: ServiceName::new("http").unwrap(), total: 2, healthy: 1 }],
        services_ignored: Some(0),
    }
}

fn counts() -> Counts {
    let reading = full();
    let counts = Counts::new(&reading.cluster, &reading.node);
    counts.stepped("catch_up", Duration::from_millis(40));
    counts.shipped_bytes(1_048_576);
    counts.took_over(Takeover::Expired);
    counts
}

fn exposed() -> Exposition {
    Exposition::open_metrics(&write(&counts(), full()).unwrap())
}

#[test]
fn the_lines_of_the_seed_are_written_as_it_has_them() {
    let text = Format::Prometheus.write(&write(&counts(), full()).unwrap());
    for line in [
        r#"convex_cluster_is_leader{HERE} 1"#,
        r#"convex_cluster_leader_epoch{cluster="convex-prod"} 42"#,
        r#"convex_cluster_backend_status{HERE,status="running"} 1"#,
        r#"convex_cluster_backend_uptime_seconds{HERE} 3600.0"#,
        r#"convex_cluster_replication_lag_ms{HERE} 50"#,
        r#"convex_cluster_wal_bytes_total{HERE} 1048576"#,
        r#"convex_cluster_vip_held{HERE} 1"#,
        r#"convex_cluster_services_total{cluster="convex-prod",service="http"} 2"#,
        r#"convex_cluster_services_healthy{cluster="convex-prod",service="http"} 1"#,
    ] {
        let line = line.replace("HERE", r#"cluster="convex-prod",node="node-1.example""#);
        assert!(text.lines().any(|one| one == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn both_formats_say_the_same() {
    let open = write(&counts(), full()).unwrap();
    let samples = |read: Exposition| {
        let of = |(name, one): (String, ccm_harness::Family)| (name, one.kind, one.samples);
        read.families.into_iter().map(of).collect::<Vec<_>>()
    };
    let text = Format::Prometheus.write(&open);
    assert_eq!(samples(Exposition::open_metrics(&open)), samples(Exposition::prometheus(&text)));
}

#[test]
fn what_was_not_measured_is_absent() {
    let nothing = Reading {
        phase: None,
        lease: None,
        replication: None,
        vip_held: None,
        vip_announced: None,
        peers: None,
        nats: None,
        levels: Vec::new(),
        snapshot_age: None,
        services: Vec::new(),
        services_ignored: None,
        ..full()
    };
    let read = Exposition::open_metrics(&write(&counts(), nothing).unwrap());
    let gauges = read.families.iter().filter(|(_, family)| family.kind == "gauge");
    let gauges: Vec<&str> = gauges.map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        gauges,
        [
            "ccm_build_info",
            "ccm_candidate",
            "ccm_history_waiting",
            "ccm_problem",
            "convex_cluster_backend_status",
            "convex_cluster_backend_uptime_seconds",
        ]
    );
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels() {
    let document = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells.first()?.strip_prefix('`')?.strip_suffix('`')?;
        let ours = name.starts_with("ccm_") || name.starts_with("convex_cluster_");
        let more = cells.get(2).copied().unwrap_or_default();
        ours.then(|| (String::from(name), (String::from(cells[1]), labels_of(more))))
    });
    let documented: BTreeMap<_, _> = rows.collect();
    let exposed: BTreeMap<_, _> = exposed()
        .families
        .into_iter()
        .map(|(name, family)| {
            let labels = family.samples[0].1.keys().filter(|label| *label != "le");
            (name, (family.kind, labels.cloned().collect::<BTreeSet<_>>()))
        })
        .collect();
    assert_eq!(documented, exposed);
}

/// `cluster` and `node`, unless a cell says otherwise.
fn labels_of(cell: &str) -> BTreeSet<String> {
    let mut labels: BTreeSet<String> = ["cluster", "node"].map(String::from).into();
    let without = cell.contains("without `node`");
    let named = cell.split('`').skip(1).step_by(2).filter(|name| *name != "node");
    labels.extend(named.map(String::from));
    if without {
        labels.remove("node");
    }
    labels
}

/// Names of metrics that an expression asks for, with the labels it selects them by.
fn asked(expression: &str) -> Vec<(String, Vec<String>)> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("ccm_").into_iter().chain(rest.find("convex_cluster_")).min() {
        let word = &rest[at..];
        let end = word.find(|c| !part(c)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let matchers = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let matchers = matchers.map_or("", |(inner, _)| inner);
        let labels = matchers.split(',').filter_map(|one| one.split_once('='));
        let labels = labels.map(|(label, _)| String::from(label.trim())).collect();
        found.push((String::from(name), labels));
        rest = after;
    }
    found
}

/// Fails unless the expression asks for what is exposed.
fn check(expression: &str) {
    let exposed = exposed();
    let samples: Vec<_> = exposed.families.values().flat_map(|family| &family.samples).collect();
    for (name, labels) in asked(expression) {
        let meets = |(of, has, _): &&&(String, BTreeMap<String, String>, f64)| {
            *of == name && labels.iter().all(|label| has.contains_key(label))
        };
        assert!(samples.iter().find(meets).is_some(), "{name} {labels:?} in {expression}");
    }
}

fn run_promtool(args: &[&str], dir: &Path) {
    let said = Command::new(promtool()).args(args).current_dir(dir).output().unwrap();
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success(), "{args:?}: {words}");
}

#[test]
fn every_alert_asks_for_what_is_exposed_fires_and_is_documented() {
    let dir = root().join("deploy/prometheus");
    let rules = std::fs::read_to_string(dir.join("alerts.yml")).unwrap();
    let tests = std::fs::read_to_string(dir.join("alerts_test.yml")).unwrap();
    let document = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).for_each(check);
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<&str> = alerts.collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let named = format!("alertname: {alert}\n");
        let mut fires = tests.split(&named).skip(1);
        let fires = fires.any(|after| after.trim_start().starts_with("exp_alerts: [{"));
        assert!(fires, "{alert} is not tested");
        assert!(document.contains(&format!("| `{alert}` |")), "{alert} is not documented");
    }
    run_promtool(&["check", "rules", "alerts.yml"], &dir);
    run_promtool(&["test", "rules", "alerts_test.yml"], &dir);
}

#[test]
fn every_query_of_the_dashboard_is_one_and_asks_for_what_is_exposed() {
    let text = std::fs::read_to_string(root().join("deploy/grafana/ccm.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    let queries: Vec<&str> = queries.collect();
    assert!(!queries.is_empty());
    for query in &queries {
        assert!(!asked(query).is_empty(), "{query}");
        check(query);
    }
    // JSON is YAML: every query as a recording rule.
    let rule = |query: &&str| {
        let query = query.replace("$cluster", ".*").replace("$__rate_interval", "1m");
        json!({ "record": "query", "expr": query, "labels": { "of": query } })
    };
    let rules: Vec<Value> = queries.iter().map(rule).collect();
    let dir = tempfile::tempdir().unwrap();
    let file = json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    std::fs::write(dir.path().join("rules.yml"), file).unwrap();
    run_promtool(&["check", "rules", "rules.yml"], dir.path());
}
