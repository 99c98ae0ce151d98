//! `ccm ltx`.

use ccm_harness::NatsServer;
use serde_json::json;

use crate::bucket::{self, Bucket};
use crate::node::Node;

const SECOND: &str = "ltx/0/0000000000000002-0000000000000002.ltx";

#[tokio::test]
async fn files_are_listed_by_level() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let ran = node.ccm(&["ltx", "list"]);
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    let images = Bucket::history(&nats.url()).await;
    Bucket::open(&nats.url()).await.put(9, 1, 2, &images[1]).await;
    let ran = node.ccm(&["ltx", "list"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 6, "{}", ran.out);
    assert!(
        lines[0].starts_with("NAME                                         FIRST  LAST  SIZE ")
    );
    assert!(lines[2].starts_with(&format!("{SECOND}  2      2     ")), "{}", ran.out);
    assert!(lines[2].ends_with("  2023-11-14T22:13:22Z  1"), "{}", ran.out);
    assert!(lines[5].starts_with("4 files, "), "{}", ran.out);
    let listed = node.ccm(&["ltx", "list", "--level", "9", "--json"]).json();
    assert_eq!((&listed["count"], &listed["bucket"]), (&json!(1), &json!("convex-test-wal")));
    let mut file = listed["files"][0].clone();
    file["size"] = json!(null);
    let expected = json!({
        "name": "ltx/9/0000000000000001-0000000000000002.ltx",
        "level": 9,
        "minTxid": 1,
        "maxTxid": 2,
        "size": null,
        "committedAt": "2023-11-14T22:13:22Z",
        "epoch": 1,
    });
    assert_eq!(file, expected);
    let ran = node.ccm(&["ltx", "list", "--level", "4"]);
    assert_eq!(ran.out, "Bucket convex-test-wal has no files of level 4\n");
    assert_eq!(node.ccm(&["ltx", "list", "--level", "10"]).code, Some(64));
}

#[tokio::test]
async fn a_file_is_shown_with_its_header_and_pages() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    Bucket::history(&nats.url()).await;
    let ran = node.ccm(&["ltx", "show", SECOND]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let expected = format!(
        "{SECOND}\n\
         Transactions: 2 to 2\n\
         Committed:    2023-11-14T22:13:22Z\n\
         Epoch:        1\n\
         Size:         {} in the bucket\n\
         Pages:        2 of 4096 bytes, 8.0 KiB\n\
         Database:     2 pages, 8.0 KiB\n\
         Page numbers: 1-2\n\
         WAL:          0 bytes from offset 32, salts 00000001 00000002\n\
         ✓ Digest, format and checksum are right\n",
        size(&node),
    );
    assert_eq!(ran.out, expected);
    let shown = node.ccm(&["ltx", "show", SECOND, "--json"]).json();
    assert_eq!((&shown["pageRuns"], &shown["snapshot"]), (&json!([[1, 2]]), &json!(false)));
    for name in ["nonsense", "ltx/0/0000000000000009-0000000000000009.ltx"] {
        let ran = node.ccm(&["ltx", "show", name]);
        assert_eq!(ran.code, Some(64), "{}", ran.err);
        assert!(ran.err.contains(name) && ran.err.contains("ccm ltx list"), "{}", ran.err);
    }
}

/// The size of the second file in words.
fn size(node: &Node) -> String {
    let listed = node.ccm(&["ltx", "list"]);
    let line = listed.out.lines().nth(2).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    format!("{} {}", words[3], words[4])
}

#[tokio::test]
async fn files_are_verified_and_damage_is_70_and_named() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let images = Bucket::history(&nats.url()).await;
    let ran = node.ccm(&["ltx", "verify"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("Verifying 3 files, "), "{}", ran.out);
    let right = "✓ Digests, formats and checksums are right, and bucket convex-test-wal leads to \
                 transaction 3\n";
    assert!(ran.out.ends_with(right), "{}", ran.out);
    let ran = node.ccm(&["ltx", "verify", SECOND]);
    assert!(ran.out.ends_with("\n✓ Digest, format and checksum are right\n"), "{}", ran.out);

    let mut damaged = bucket::encoded(4, 4, &images[2]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let bucket = Bucket::open(&nats.url()).await;
    bucket.put_bytes(0, 4, 4, damaged).await;
    bucket.put(0, 6, 6, &images[2]).await;
    let ran = node.ccm(&["ltx", "verify"]);
    assert_eq!(ran.code, Some(70), "{}{}", ran.out, ran.err);
    let words = [
        "✗ ltx/0/0000000000000004-0000000000000004.ltx: the LTX file is damaged: its checksum is",
        "✗ the bucket is incomplete: transaction 5 is in no file of the bucket\n",
        "⚠ level 0 lacks transactions 5 to 5\n",
        "⚠ ltx/0/0000000000000006-0000000000000006.ltx: no files lead to it\n",
        "✗ 2 problems found\n",
    ];
    for words in words {
        assert!(ran.out.contains(words), "{words}\n{}", ran.out);
    }
    let ran = node.ccm(&["ltx", "verify", "--json"]);
    assert_eq!(ran.code, Some(70));
    let told = ran.json();
    assert_eq!(
        (&told["ok"], &told["files"], &told["txid"]),
        (&json!(false), &json!(5), &json!(null))
    );
    assert_eq!(told["findings"][0]["severity"], "problem");
    assert_eq!(told["findings"].as_array().unwrap().len(), 4);
}
