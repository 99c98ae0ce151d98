//! What has happened is found afterwards, on another node, with its parts and its reasons.

use ccm_harness::{Cluster, ClusterOptions, Node, PATIENCE, wait};
use serde_json::Value;

use crate::machine::beside_others;
use crate::monitoring::{listen, scrape};

/// The events of one kind as a node tells them.
pub(crate) fn told(node: &Node, kind: &str) -> Vec<Value> {
    let told = node.ccm("history", &["--json", "--limit", "1000", "--kind", kind]).json();
    told["events"].as_array().cloned().unwrap_or_default()
}

/// Waits until an event of this kind is told that `meets`.
fn wait_told(node: &Node, kind: &str, meets: impl Fn(&Value) -> bool) -> Value {
    let what = format!("an event of the kind {kind} to be told by {}", node.name);
    wait::until(PATIENCE, &what, || told(node, kind).into_iter().find(&meets))
}

fn millis(of: &Value, key: &str) -> u64 {
    let value = of[key].as_u64();
    assert!(value.is_some(), "no {key} in {of}");
    value.unwrap()
}

fn at(of: &Value) -> String {
    String::from(of.as_str().unwrap())
}

/// What is needed to serve what the bucket has.
const UP: [&str; 8] = [
    "detectionMs",
    "leaseMs",
    "fenceMs",
    "compareMs",
    "catchUpMs",
    "swapMs",
    "captureMs",
    "backendStartMs",
];

#[test]
fn a_failover_is_told_by_the_other_node_with_its_parts_and_a_planned_move_by_both() {
    let _machine = beside_others();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    let names = [0, 1].map(|index| cluster.nodes[index].name.clone());
    let epoch = cluster.nodes[first].status()["epoch"].as_u64().unwrap();
    // Nobody led before.
    assert_eq!(told(&cluster.nodes[other], "failover"), Vec::<Value>::new());

    cluster.kill_host(first);
    cluster.wait_serves(other);
    let failover = wait_told(&cluster.nodes[other], "failover", |_| true);
    assert_eq!(failover["node"], names[other].as_str());
    assert_eq!(failover["epoch"], epoch + 1);
    let details = &failover["details"];
    assert_eq!(
        (&details["from"], &details["reason"]),
        (&names[first].as_str().into(), &"expired".into())
    );
    let parts: u64 = UP.iter().map(|key| millis(&details["phases"], key)).sum();
    let total = millis(details, "totalMs");
    assert!(parts <= total, "{failover:#}");
    // What is not a part is what lies between them.
    assert!(total - parts < total / 2, "{failover:#}");
    let ttl = u64::try_from(cluster.options.ttl.as_millis()).unwrap();
    assert!(millis(&details["phases"], "detectionMs") >= ttl, "{failover:#}");
    let role = wait_told(&cluster.nodes[other], "role", |event| event["epoch"] == epoch + 1);
    assert_eq!(role["details"]["role"], "PRIMARY");
    let text = cluster.nodes[other].ccm("history", &["--kind", "failover"]).ok().out;
    let sentence =
        format!("{} took over from {}, which had fallen silent", names[other], names[first]);
    assert!(text.contains(&sentence), "{text}");

    cluster.nodes[first].start();
    cluster.wait_follows(first);
    cluster.switchover(other, first).ok();
    cluster.wait_serves(first);
    let side = |side: &'static str| move |event: &Value| event["details"]["side"] == side;
    let given = wait_told(&cluster.nodes[first], "move", side("given"));
    let taken = wait_told(&cluster.nodes[other], "move", side("taken"));
    assert_eq!(
        (&given["node"], &taken["node"]),
        (&names[other].as_str().into(), &names[first].as_str().into())
    );
    assert_eq!(given["epoch"], epoch + 1);
    assert_eq!(taken["epoch"], epoch + 2);
    assert_eq!(given["details"]["to"], names[first].as_str());
    assert!(given["details"]["reason"].as_str().unwrap().contains("an operator asked"), "{given}");
    for key in ["backendStopMs", "flushMs", "releaseMs"] {
        millis(&given["details"]["phases"], key);
    }
    assert_eq!(taken["details"]["reason"], "released");
    assert_eq!(told(&cluster.nodes[first], "failover").len(), 1);
}

#[test]
fn an_outage_of_nats_and_what_happened_in_it_is_told_when_it_is_over() {
    let _machine = beside_others();
    let options = ClusterOptions { nodes: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(options);
    let name = cluster.nodes[0].name.clone();
    wait_told(&cluster.nodes[0], "role", |event| event["details"]["role"] == "PRIMARY");
    cluster.nats.kill();
    wait::until(PATIENCE, "the backend to be stopped", || {
        cluster.nodes[0].backends().is_empty().then_some(())
    });
    cluster.nats.restart();
    cluster.wait_serving();
    let node = &cluster.nodes[0];
    let outage = wait_told(node, "nats-outage", |_| true);
    assert_eq!(outage["node"], name.as_str());
    let (from, to) = (at(&outage["details"]["from"]), at(&outage["details"]["to"]));
    assert_eq!(at(&outage["at"]), from);
    assert!(from < to && millis(&outage["details"], "lastedMs") > 0, "{outage:#}");
    let fell = wait_told(node, "role", |event| {
        event["details"]["reason"].as_str().is_some_and(|reason| reason.contains("fell from epoch"))
    });
    assert!(at(&fell["at"]) > from, "{fell:#} {outage:#}");
    let again = wait_told(node, "failover", |_| true);
    assert_eq!(again["details"]["from"], name.as_str());
    assert!(at(&again["at"]) > to, "{again:#} {outage:#}");
}

#[test]
fn a_node_that_is_no_candidate_says_why_it_does_not_take_over_until_it_is_one() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions::default());
    cluster.nodes[1]
        .edit_config(|config| config["node"] = serde_json::json!({ "candidate": false }));
    listen(&cluster.nodes[1]);
    // Before anybody leads the lease is free, too.
    cluster.nodes[0].start();
    assert_eq!(cluster.wait_serving(), 0);
    cluster.nodes[1].start();
    cluster.wait_follows(1);
    let why = "node.candidate is false in its configuration";
    assert_eq!(cluster.nodes[1].status()["notEligible"], why);
    assert_eq!(cluster.nodes[0].status()["notEligible"], Value::Null);
    let text = cluster.nodes[1].ccm("status", &[]).ok().out;
    assert!(text.contains(&format!("\nCandidate:   no: {why}\n")), "{text}");
    assert_eq!(told(&cluster.nodes[1], "refused"), Vec::<Value>::new());

    cluster.kill_host(0);
    let refused = wait_told(&cluster.nodes[1], "refused", |_| true);
    assert_eq!(refused["node"], cluster.nodes[1].name.as_str());
    assert_eq!(refused["details"]["stage"], "election");
    assert_eq!(refused["details"]["why"], why);
    assert_eq!(cluster.serving(), None);
    let counted = scrape(&cluster.nodes[1]).value("ccm_refusals_total", &[("stage", "election")]);
    assert_eq!(counted, Some(1.0));
    let log = std::fs::read_to_string(cluster.nodes[1].log()).unwrap();
    assert!(log.contains("the lease is free and node-2 does not take it"), "{log}");

    cluster.nodes[1].terminate(PATIENCE);
    cluster.nodes[1].edit_config(|config| config["node"]["candidate"] = true.into());
    cluster.nodes[1].start();
    cluster.wait_serves(1);
    wait_told(&cluster.nodes[1], "failover", |event| event["details"]["from"] == "node-1");
    assert_eq!(cluster.nodes[1].status()["notEligible"], Value::Null);
}
