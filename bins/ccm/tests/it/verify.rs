//! `ccm verify`.

use std::os::unix::fs::FileExt as _;

use ccm_harness::NatsServer;
use serde_json::json;

use crate::bucket::{self, Bucket};
use crate::node::Node;

#[tokio::test]
async fn a_replica_is_the_same_or_the_pages_that_differ_are_named() {
    let nats = NatsServer::start();
    let node = Node::new("node-2", &nats.url());
    bucket::lead(&nats.url(), "node-1", 1, false).await;
    Bucket::history(&nats.url()).await;
    assert_eq!(node.ccm(&["join"]).code, Some(0));
    let replica = node.path("replica.db");
    let shown = replica.display();
    let ran = node.ccm(&["verify"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let begin = "Verifying the replica of node-2 against bucket convex-test-wal...\n\
                 ✓ The bucket leads to transaction 3, epoch 1: 3 files, ";
    assert!(ran.out.starts_with(begin), "{}", ran.out);
    let end = format!(
        "✓ SQLite finds that database in order (quick_check)\n\
         ✓ {shown} is the same page by page: 2 pages of 4096 bytes\n"
    );
    assert!(ran.out.ends_with(&end), "{}", ran.out);

    let file = std::fs::File::options().write(true).open(&replica).unwrap();
    file.write_all_at(b"x", 5000).unwrap();
    let ran = node.ccm(&["verify", "--no-check"]);
    assert_eq!(ran.code, Some(70), "{}", ran.out);
    let words = format!("✗ 1 of 2 pages of {shown} differ: 2\n");
    assert!(ran.out.contains(&words), "{}", ran.out);
    let told = node.ccm(&["verify", "--json"]).json();
    assert_eq!((&told["ok"], &told["differingPages"]), (&json!(false), &json!(1)));
    assert_eq!(told["differingRuns"], json!([[2, 2]]));
    assert!(!node.path("replica.db.ccm-verify").exists());
}

#[tokio::test]
async fn without_a_replica_the_bucket_alone_is_checked() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    Bucket::history(&nats.url()).await;
    let ran = node.ccm(&["verify"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let words = "only a PASSIVE node has one. Checking the bucket alone\n\
                 ✓ The bucket leads to transaction 3, epoch 1: 3 files, ";
    assert!(ran.out.contains(words), "{}", ran.out);
    let told = node.ccm(&["verify", "--json"]).json();
    assert_eq!(
        (&told["ok"], &told["compared"], &told["txid"]),
        (&json!(true), &json!("none"), &json!(3))
    );
    assert!(!node.path("replica.db.ccm-verify").exists());
}
