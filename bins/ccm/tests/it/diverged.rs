//! `ccm diverged`.

use ccm_harness::NatsServer;
use serde_json::json;

use crate::bucket::Bucket;
use crate::node::Node;

const NAME: &str = "data.db.diverged-e1-t2-1";

#[tokio::test]
async fn what_was_set_aside_is_listed_shown_and_removed_by_its_exact_name() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let dir = node.dir.path().display().to_string();
    let ran = node.ccm(&["diverged", "list"]);
    assert_eq!((ran.code, ran.out), (Some(0), format!("No data file was set aside in {dir}\n")));

    let images = Bucket::history(&nats.url()).await;
    let aside = node.path(NAME);
    std::fs::write(&aside, &images[1]).unwrap();
    let connection = rusqlite::Connection::open(&aside).unwrap();
    connection.execute_batch("insert into t values ('mine'), ('too')").unwrap();
    assert!(node.path(&format!("{NAME}-wal")).exists());

    let ran = node.ccm(&["diverged", "list"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "NAME                      EPOCH  TXID  SIZE      WRITTEN");
    assert!(lines[1].starts_with(&format!("{NAME}  1      2     ")), "{}", ran.out);
    assert_eq!(lines[2], format!("In {dir}; what they have: `ccm diverged show NAME`"));
    let listed = node.ccm(&["diverged", "list", "--json"]).json();
    let file = &listed["files"][0];
    assert_eq!(
        (&file["name"], &file["epoch"], &file["txid"]),
        (&json!(NAME), &json!(1), &json!(2))
    );

    let ran = node.ccm(&["diverged", "show", NAME]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let expected = format!(
        "{NAME}, compared with the cluster at transaction 2 (2023-11-14T22:13:22Z)\n  \
         The bucket has its transactions up to 2 of epoch 1; what came after is its own\n  \
         The cluster is at transaction 3 now (2023-11-14T22:13:23Z)\n  \
         1 page differs, 4.0 KiB\n  \
         TABLE  ROWS HERE  IN THE CLUSTER\n  \
         t      4          2\n"
    );
    assert_eq!(ran.out, expected);
    let shown = node.ccm(&["diverged", "show", NAME, "--json"]).json();
    let tables = json!([{ "table": "t", "rowsHere": 4, "rowsCluster": 2 }]);
    assert_eq!((&shown["exact"], &shown["tables"]), (&json!(true), &tables));

    for args in [&["diverged", "drop", NAME][..], &["diverged", "drop", "data.db", "--yes"]] {
        let ran = node.ccm(args);
        assert_eq!(ran.code, Some(64), "{args:?}: {}", ran.err);
        assert!(aside.exists());
    }
    let ran = node.ccm(&["diverged", "drop", NAME, "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with(&format!("✓ Removed {}", aside.display())), "{}", ran.out);
    assert!(!aside.exists() && !node.path(&format!("{NAME}-wal")).exists());
}
