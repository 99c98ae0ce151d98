//! A file of the bucket that a disk has damaged, under a running primary.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};
use serde_json::{Value, json};

use crate::machine::{LOAD, beside_others};

const STREAM: &str = "OBJ_convex-test-wal";

/// Puts other bytes in the place of what the object holds.
fn damage(cluster: &Cluster, name: &str) {
    let subject = format!("$O.convex-test-wal.M.{}", URL_SAFE.encode(name));
    let asked = json!({ "last_by_subj": subject });
    let stored = cluster.nats.request(&format!("$JS.API.STREAM.MSG.GET.{STREAM}"), &asked);
    let meta = STANDARD.decode(stored["message"]["data"].as_str().unwrap()).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let chunks = format!("$O.convex-test-wal.C.{}", meta["nuid"].as_str().unwrap());
    let all = json!({ "filter": chunks });
    let purged = cluster.nats.request(&format!("$JS.API.STREAM.PURGE.{STREAM}"), &all);
    assert_eq!(purged["success"], true, "{purged}");
    let len = usize::try_from(meta["size"].as_u64().unwrap()).unwrap();
    let published = cluster.nats.request(&chunks, &json!("x".repeat(len - 2)));
    assert!(published["seq"].is_u64(), "{published}");
}

fn files(cluster: &Cluster, level: &str) -> Vec<Value> {
    let listed = cluster.nodes[0].ccm("ltx", &["list", "--level", level, "--json"]).ok().json();
    listed["files"].as_array().unwrap().clone()
}

#[test]
fn a_damaged_file_is_named_with_what_to_do_and_the_primary_gets_over_it_by_itself() {
    let _machine = beside_others();
    let cluster = Cluster::start(ClusterOptions::default());
    let writer = cluster.writer("damaged", LOAD);
    let primary = cluster.wait_serving();
    cluster.wait_acknowledged(&writer, 300);
    cluster.wait_follows(1 - primary);
    // The newest but a few: nobody is compacting it yet.
    let listed = files(&cluster, "0");
    let name = String::from(listed[listed.len() - 1]["name"].as_str().unwrap());
    damage(&cluster, &name);

    let ran = cluster.nodes[1 - primary].ccm("ltx", &["verify", &name]);
    assert_eq!(ran.code, Some(70), "{} {}", ran.out, ran.err);
    assert!(ran.out.contains(&name), "{}", ran.out);
    assert!(ran.out.contains("What to do: `ccm snapshot`"), "{}", ran.out);
    let ran = cluster.nodes[1 - primary].ccm("ltx", &["verify", &name, "--json"]);
    assert!(ran.json()["advice"].as_str().unwrap().contains("ccm snapshot"), "{}", ran.out);

    // Within a slot of level 1 the primary comes upon it.
    let said = cluster.nodes[primary].log();
    wait::until(PATIENCE, "the primary to remove the file", || {
        let gone = files(&cluster, "0").iter().all(|file| file["name"] != name.as_str());
        let log = std::fs::read_to_string(&said).unwrap();
        (gone && log.contains("a damaged file is deleted from the bucket")).then_some(())
    });
    let log = std::fs::read_to_string(&said).unwrap();
    let told = log.lines().filter(|line| line.contains("a file of the bucket is damaged"));
    assert_eq!(told.count(), 1, "{log}");
    cluster.wait_status(primary, "no problem", |status| status["problem"].is_null());
    cluster.nodes[primary].ccm("ltx", &["verify"]).ok();
    let acks = writer.stop();
    cluster.wait_status(primary, "everything shipped", |status| status["unshippedBytes"] == 0);
    let output = cluster.dir().join("restored.db");
    let to = output.display().to_string();
    cluster.nodes[primary].ccm("restore", &["--output", &to]).ok();
    let rows = cluster.rows(primary, &acks);
    assert!(rows.holes().is_empty(), "holes: {:?}", rows.holes());
}
