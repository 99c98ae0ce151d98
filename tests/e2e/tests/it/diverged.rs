//! A node whose backend has served on without its daemon: what only it has is set aside, shown, and
//! never deleted.

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, Writer, wait};
use serde_json::{Value, json};

use crate::history::told;
use crate::machine::{LOAD, beside_others};

/// Kills the daemon of the primary: its backend takes writes that are not replicated until the
/// guard stops it. The other node serves when this returns.
fn diverge(cluster: &mut Cluster, writer: &Writer, first: usize) {
    cluster.nodes[first].kill_daemon();
    cluster.wait_acknowledged(writer, 50);
    cluster.wait_serves(1 - first);
    wait::until(PATIENCE, "the guard to stop the backend", || {
        cluster.nodes[first].backends().is_empty().then_some(())
    });
}

fn listed(cluster: &Cluster, node: usize) -> Vec<Value> {
    let listed = cluster.nodes[node].ccm("diverged", &["list", "--json"]).ok().json();
    listed["files"].as_array().unwrap().clone()
}

/// What the file has: at least the writes that were acknowledged without a daemon.
fn check_shown(cluster: &Cluster, first: usize, file: &Value) {
    let name = file["name"].as_str().unwrap();
    let shown = cluster.nodes[first].ccm("diverged", &["show", name, "--json"]).ok().json();
    let txid = file["txid"].as_u64().unwrap();
    assert_eq!(shown["ownFromTxid"], txid + 1, "{shown:#}");
    assert!(shown["clusterTxid"].as_u64().unwrap() > txid, "{shown:#}");
    assert!(shown["differingPages"].as_u64().unwrap() > 0, "{shown:#}");
    assert!(shown["differingBytes"].as_u64().unwrap() > 0, "{shown:#}");
    assert!(shown["ownCommits"].is_null() || shown["ownCommits"].as_u64().unwrap() > 0);
    if shown["exact"] == true {
        let tables = shown["tables"].as_array().unwrap();
        let more = |t: &Value| t["rowsHere"].as_u64() > t["rowsCluster"].as_u64();
        assert!(tables.iter().any(more), "{shown:#}");
    }
    let text = cluster.nodes[first].ccm("diverged", &["show", name]).ok().out;
    let own = format!("  The bucket has its transactions up to {txid} of epoch ");
    assert!(text.contains(&own) && text.contains("\n  The cluster is at transaction "), "{text}");
}

#[test]
fn what_only_one_node_has_is_set_aside_said_and_shown_and_never_deleted_to_make_room() {
    let _machine = beside_others();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let writer = cluster.writer("diverged", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    let status = cluster.nodes[first].status();
    assert_eq!(status["diverged"]["count"], 0, "{status:#}");
    assert_eq!(status["diverged"]["maxBytes"], 64_u64 << 30, "{status:#}");

    diverge(&mut cluster, &writer, first);
    cluster.nodes[first].start();
    cluster.wait_follows(first);
    let files = listed(&cluster, first);
    assert_eq!(files.len(), 1, "{files:?}");
    let name = String::from(files[0]["name"].as_str().unwrap());
    let event = wait::until(PATIENCE, "the other node to find it in the history", || {
        told(&cluster.nodes[other], "divergence").pop()
    });
    assert_eq!(event["details"]["file"], name.as_str(), "{event:#}");
    assert_eq!(event["details"]["txid"], files[0]["txid"], "{event:#}");
    let status = cluster.nodes[first].status();
    let said = &status["diverged"];
    assert_eq!((&said["count"], &said["bytes"]), (&json!(1), &files[0]["bytes"]), "{status:#}");
    assert_eq!(said["files"][0]["name"], name.as_str());
    assert_eq!(said["files"][0]["txid"], files[0]["txid"]);
    let text = cluster.nodes[first].ccm("status", &[]).ok().out;
    assert!(text.contains(&format!("Diverged:    {name} (epoch ")), "{text}");
    assert!(text.contains(&format!("ccm diverged show {name}\n")), "{text}");
    wait::until(PATIENCE, "the other node to show it, too", || {
        let text = cluster.nodes[other].ccm("status", &[]).out;
        text.contains("1 data file set aside").then_some(())
    });

    check_shown(&cluster, first, &files[0]);

    // Over the bound: said, nothing goes, and a second file is not set aside.
    cluster.nodes[first].terminate(PATIENCE);
    cluster.nodes[first].edit_config(|config| config["wal"]["divergedMaxBytes"] = json!(1));
    cluster.nodes[first].start();
    cluster.wait_status(first, "that the bound is passed, while it follows", |status| {
        let problem = status["problem"].as_str().unwrap_or_default();
        problem.contains("more than wal.divergedMaxBytes (1)") && status["txid"] != json!(0)
    });
    cluster.switchover(other, first).ok();
    cluster.wait_serves(first);
    cluster.wait_acknowledged(&writer, 50);
    cluster.wait_follows(other);
    diverge(&mut cluster, &writer, first);
    let data = cluster.nodes[first].data();
    let before = std::fs::metadata(&data).unwrap().len();
    cluster.nodes[first].start();
    cluster.wait_status(first, "that it cannot set the file aside", |status| {
        let problem = status["problem"].as_str().unwrap_or_default();
        problem.contains("would have to be set aside") && problem.contains("ccm diverged list")
    });
    assert_eq!(listed(&cluster, first), files);
    assert!(std::fs::metadata(&data).unwrap().len() >= before, "the data file has changed");

    // The operator makes room, and the node goes on by itself.
    cluster.nodes[first].ccm("diverged", &["drop", &name, "--yes"]).ok();
    wait::until(PATIENCE, "the second file to be set aside", || {
        let files = listed(&cluster, first);
        (files.len() == 1 && files[0]["name"] != name.as_str()).then_some(())
    });
    cluster.wait_status(first, "a replica again", |status| {
        status["role"] == "PASSIVE" && status["txid"].as_u64().is_some_and(|txid| txid > 0)
    });
    assert!(!writer.stop().is_empty());
    assert_eq!(cluster.integrity(other), "ok");
}
