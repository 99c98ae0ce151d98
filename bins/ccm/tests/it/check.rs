//! A configuration is checked before a daemon has to.

use crate::node::Node;

#[test]
fn a_configuration_is_checked_and_nothing_else_is_done() {
    let node = Node::new("node-1", "nats://127.0.0.1:1");
    let path = node.path("cluster.json");
    let ran = node.ccm(&["check"]);
    let expected = format!("✓ {} is correct: node node-1 of cluster test\n", path.display());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected.as_str()), "{}", ran.err);
    assert_eq!(node.ccm(&["check", "--json"]).json()["nodeId"], "node-1");
    assert_eq!(std::fs::read_dir(node.dir.path()).unwrap().count(), 1);

    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, problem) in [
        ("clusterId", "clusterID", "unknown key clusterID: did you mean clusterId?"),
        ("\"backend\":{", "\"backend\":{\"healthEndpoint\":\"http://u:p@h/\",", "healthEndpoint"),
        ("\"wal\":", "\"log\":{\"format\":\"xml\"},\"wal\":", "log.format is \"xml\""),
        ("\"wal\":", "\"log\":{\"level\":\"a=b=c\"},\"wal\":", "log.level is \"a=b=c\""),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let ran = node.ccm(&["check"]);
        assert_eq!(ran.code, Some(64), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains(problem), "{}", ran.err);
    }
}
