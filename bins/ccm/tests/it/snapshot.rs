//! `ccm snapshot`: who is asked, and what is said.

use ccm_harness::NatsServer;
use serde_json::json;

use crate::bucket;
use crate::daemon::Daemons;
use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_takes_the_snapshot_whichever_node_asks() {
    let nats = NatsServer::start();
    let url = nats.url();
    let (one, two) = (Node::new("node-1", &url), Node::new("node-2", &url));
    let ran = one.ccm(&["snapshot"]);
    assert_eq!(ran.code, Some(75), "{}", ran.out);
    assert!(ran.err.contains("No leader currently exists in the cluster"), "{}", ran.err);

    let daemons = Daemons::start(&url, &["node-1", "node-2"]).await;
    let done = "✓ ltx/9/0000000000000001-0000000000000412.ltx is in the bucket: 5.0 MiB, 1.2 s\n  \
                It holds everything up to transaction 1042 (2023-11-14T22:13:20Z)\n";
    let ran = one.ccm(&["snapshot"]);
    let asked = "Taking a snapshot on node-1, the PRIMARY...\n";
    assert_eq!((ran.code, ran.out), (Some(0), format!("{asked}{done}")), "{}", ran.err);
    let ran = two.ccm(&["snapshot"]);
    let asked = "node-1 is the PRIMARY: asking it to take a snapshot...\n";
    assert_eq!((ran.code, ran.out), (Some(0), format!("{asked}{done}")), "{}", ran.err);
    let expected = json!({
        "ok": true,
        "node": "node-1",
        "name": "ltx/9/0000000000000001-0000000000000412.ltx",
        "txid": 1042,
        "epoch": 1,
        "size": 5 << 20,
        "committedAt": "2023-11-14T22:13:20Z",
        "tookMs": 1234,
    });
    assert_eq!(two.ccm(&["snapshot", "--json"]).json(), expected);

    let ran = two.ccm(&["snapshot", "--timeout", "500ms"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(75), "error: it goes on\n"));
    for wrong in ["0s", "25h", "soon"] {
        let ran = two.ccm(&["snapshot", "--timeout", wrong]);
        assert_eq!(ran.code, Some(64), "{wrong}: {}", ran.err);
        assert!(ran.err.contains(&format!("--timeout {wrong:?}")), "{}", ran.err);
    }
    drop(daemons);
    bucket::lead(&url, "node-3", 2, false).await;
    let ran = two.ccm(&["snapshot"]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    assert!(ran.err.contains("the daemon of node-3 does not answer"), "{}", ran.err);
}
