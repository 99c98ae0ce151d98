//! Bad input gets a clear error, changes nothing and loses nothing.

use ccm_harness::{Cluster, ClusterOptions, Node, PATIENCE, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::machine::beside_others;

/// Exit code for bad usage or configuration.
const USAGE: i32 = 64;
/// Exit code when NATS is unreachable.
const NATS_UNREACHABLE: i32 = 69;

fn one_node() -> ClusterOptions {
    ClusterOptions { nodes: 1, ..ClusterOptions::default() }
}

/// Waits until the node's log has a line with all of `words`.
fn logs(node: &Node, words: &[&str]) {
    let what = format!("{words:?} in the log of {}", node.name);
    wait::until(PATIENCE, &what, || {
        let log = node.log_tail();
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    });
}

#[test]
fn a_wrong_configuration_is_refused_with_the_place_and_the_reason() {
    let _machine = beside_others();
    type Edit = fn(&mut Value);
    let table: [(&str, Edit, &[&str]); 8] = [
        ("a missing key", |c| drop(c.as_object_mut().unwrap().remove("clusterId")), &["clusterId"]),
        (
            "an unknown key",
            |c| c["backend"]["dataPth"] = json!("x"),
            &["dataPth", "dataPath", "line"],
        ),
        (
            "a heartbeat as long as the ttl",
            |c| c["election"]["heartbeatIntervalMs"] = json!(3000),
            &["heartbeatIntervalMs", "leaderTtlMs", "6390"],
        ),
        ("a wrong type", |c| c["election"]["leaderTtlMs"] = json!("ten"), &["leaderTtlMs", "line"]),
        ("a bad node ID", |c| c["nodeId"] = json!("node 1"), &["nodeId"]),
        ("a bad cluster ID", |c| c["clusterId"] = json!("a.b"), &["clusterId"]),
        ("no servers", |c| c["nats"]["servers"] = json!([]), &["servers"]),
        ("no command", |c| c["backend"]["command"] = json!([]), &["command"]),
    ];
    let mut cluster = Cluster::prepare(one_node());
    for (number, (what, edit, words)) in table.into_iter().enumerate() {
        let index = cluster.add_node(&format!("bad-{number}"));
        let node = &cluster.nodes[index];
        node.edit_config(edit);
        for verb in ["daemon", "status"] {
            let ran = node.ccm(verb, &[]);
            assert_eq!(ran.code, Some(USAGE), "{what}: {verb}: {}", ran.err);
            for word in words {
                assert!(ran.err.contains(word), "{what}: {verb} does not say {word}: {}", ran.err);
            }
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
        }
        let left: Vec<_> = std::fs::read_dir(&node.dir).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(left.len(), 1, "{what}: {left:?}");
    }
    std::fs::write(cluster.nodes[0].config(), "{ \"clusterId\": ").unwrap();
    let ran = cluster.nodes[0].ccm("daemon", &[]);
    assert_eq!(ran.code, Some(USAGE), "{}", ran.err);
    assert!(ran.err.contains("line 1"), "{}", ran.err);
    std::fs::remove_file(cluster.nodes[0].config()).unwrap();
    let ran = cluster.nodes[0].ccm("daemon", &[]);
    assert_eq!(ran.code, Some(USAGE), "{}", ran.err);
    assert!(ran.err.contains("cluster.json"), "{}", ran.err);
}

#[test]
fn a_nats_that_is_not_there_at_the_start_is_waited_for_and_status_says_so() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(one_node());
    cluster.nats.kill();
    cluster.nodes[0].start();
    logs(&cluster.nodes[0], &["NATS", "nats.servers"]);
    let ran = cluster.nodes[0].ccm("status", &[]);
    assert_eq!(ran.code, Some(NATS_UNREACHABLE), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains(&cluster.nats.url()), "{}", ran.err);
    assert!(cluster.nodes[0].ended().is_none(), "the daemon gave up");
    cluster.nats.restart();
    cluster.wait_serves(0);
}

#[test]
fn wrong_credentials_are_told_apart_from_a_missing_server() {
    let _machine = beside_others();
    let arguments = ["--user", "ccm", "--pass", "right"].map(String::from);
    let options = ClusterOptions { nats_args: arguments.to_vec(), ..one_node() };
    let mut cluster = Cluster::prepare(options);
    let wrong = |config: &mut Value| {
        config["nats"]["user"] = json!("ccm");
        config["nats"]["password"] = json!("wrong");
    };
    cluster.nodes[0].edit_config(wrong);
    cluster.nodes[0].start();
    logs(&cluster.nodes[0], &["refuses the credentials"]);
    let ran = cluster.nodes[0].ccm("status", &[]);
    assert_eq!(ran.code, Some(NATS_UNREACHABLE), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("credentials"), "{}", ran.err);
    assert!(!cluster.nodes[0].data().exists());

    cluster.nodes[0].terminate(PATIENCE);
    cluster.nodes[0].edit_config(|config| config["nats"]["password"] = json!("right"));
    cluster.nodes[0].start();
    cluster.wait_serves(0);
}

#[test]
fn a_bucket_that_is_not_ours_is_refused_and_left_alone() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(one_node());
    let stream = "KV_convex-test-election";
    let foreign = json!({ "name": stream, "subjects": ["somebody.elses"], "storage": "file" });
    let made = cluster.nats.request(&format!("$JS.API.STREAM.CREATE.{stream}"), &foreign);
    assert!(made["error"].is_null(), "{made}");
    cluster.nodes[0].start();
    logs(&cluster.nodes[0], &["convex-test-election"]);
    let info = cluster.nats.request(&format!("$JS.API.STREAM.INFO.{stream}"), &json!({}));
    assert_eq!(info["config"]["subjects"], json!(["somebody.elses"]), "{info}");
    assert_eq!(info["state"]["messages"], 0, "{info}");
    assert_eq!(cluster.serving(), None);
    assert!(!cluster.nodes[0].data().exists());
}

#[test]
fn a_data_file_that_is_not_sqlite_is_named_and_left_alone() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(one_node());
    let content = b"this is not a database, whatever its name says\n".repeat(100);
    std::fs::write(cluster.nodes[0].data(), &content).unwrap();
    cluster.nodes[0].start();
    logs(&cluster.nodes[0], &["data.db", "SQLite"]);
    assert_eq!(std::fs::read(cluster.nodes[0].data()).unwrap(), content);
    assert_eq!(cluster.serving(), None);
}

#[test]
fn a_data_file_that_is_not_in_wal_mode_is_converted_before_the_backend_starts() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(one_node());
    let data = cluster.nodes[0].data();
    let db = Connection::open(&data).unwrap();
    db.execute_batch("CREATE TABLE precious(x); INSERT INTO precious VALUES (42)").unwrap();
    drop(db);
    cluster.nodes[0].start();
    cluster.wait_serves(0);
    let db = Connection::open(&data).unwrap();
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    let kept: i64 = db.query_row("SELECT x FROM precious", [], |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), kept), ("wal", 42));
}

#[test]
fn a_data_path_in_a_missing_folder_is_named_and_the_folder_is_not_made() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(one_node());
    let missing = cluster.nodes[0].dir.join("not-mounted");
    let data = missing.join("data.db");
    cluster.nodes[0].edit_config(|config| config["backend"]["dataPath"] = json!(data));
    cluster.nodes[0].start();
    logs(&cluster.nodes[0], &["not-mounted"]);
    assert!(!missing.exists());
    assert_eq!(cluster.serving(), None);
}
