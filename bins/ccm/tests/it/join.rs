//! `ccm join`.

use ccm_harness::NatsServer;

use crate::bucket;
use crate::node::Node;

#[tokio::test]
async fn joining_brings_the_data_and_prints_what_the_manual_prints() {
    let nats = NatsServer::start();
    bucket::lead(&nats.url(), "node-1", 1, false).await;
    bucket::snapshot(&nats.url(), "precious").await;
    let node = Node::new("node-2", &nats.url());
    let state = node.path("replica.db-ccm");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("left"), b"").unwrap();

    let ran = node.ccm(&["join"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let expected = format!(
        "Joining cluster test as node node-2...\n\
         ✓ Connected to cluster. Current leader: node-1\n\
         Bootstrapping data from cluster snapshot...\n\
         ✓ Data bootstrapped to {}\n\
         ✓ Successfully joined cluster\n",
        node.path("data.db").display()
    );
    assert_eq!(ran.out, expected);
    assert!(!state.join("left").exists());
    assert!(!node.path("data.db").exists(), "only a primary has a data file");
    let replica = rusqlite::Connection::open(node.path("replica.db")).unwrap();
    let row: String = replica.query_row("select x from t", [], |row| row.get(0)).unwrap();
    assert_eq!(row, "precious");

    let again = node.ccm(&["join", "--json"]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    let joined = again.json();
    assert_eq!((&joined["data"], &joined["txid"]), (&"bootstrapped".into(), &1.into()));
}

#[tokio::test]
async fn joining_with_data_of_ones_own_keeps_it_and_says_what_will_happen() {
    let nats = NatsServer::start();
    bucket::lead(&nats.url(), "node-1", 1, false).await;
    bucket::snapshot(&nats.url(), "theirs").await;
    let node = Node::new("node-2", &nats.url());
    let data = rusqlite::Connection::open(node.path("data.db")).unwrap();
    data.execute_batch("create table mine(x)").unwrap();
    drop(data);
    let before = std::fs::read(node.path("data.db")).unwrap();
    let ran = node.ccm(&["join"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("the daemon will set it aside, not delete it"), "{}", ran.out);
    assert_eq!(std::fs::read(node.path("data.db")).unwrap(), before);
}

#[test]
fn joining_a_cluster_without_leader_and_data_is_told_so() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let ran = node.ccm(&["join"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.out,
        "Joining cluster test as node node-1...\n\
         ⚠ No leader detected. This node may become leader.\n\
         ⚠ No snapshots available yet. This node will start with empty data.\n\
         ✓ Successfully joined cluster\n"
    );
}

#[test]
fn a_data_file_that_is_no_database_is_refused_before_anything_is_done() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    std::fs::write(node.path("data.db"), "not a database".repeat(100)).unwrap();
    let ran = node.ccm(&["join"]);
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains("data.db is not a SQLite database"), "{}", ran.err);
}
