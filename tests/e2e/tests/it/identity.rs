//! Two live nodes with one ID.

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, wait};
use serde_json::json;

use crate::machine::alone;

#[test]
fn a_node_id_that_is_already_live_is_refused_and_the_live_node_is_not_disturbed() {
    let _machine = alone();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    let backends = cluster.nodes[first].backends();
    let status = cluster.nodes[first].status();
    for index in 0..2 {
        let name = cluster.nodes[index].name.clone();
        let twin = cluster.add_node(&format!("twin-of-{name}"));
        cluster.nodes[twin].edit_config(|config| config["nodeId"] = json!(name));
        cluster.nodes[twin].start();
        let ended =
            wait::until(PATIENCE, "the second of one ID to end", || cluster.nodes[twin].ended());
        assert!(!ended.success(), "{ended}");
        let log = cluster.nodes[twin].log_tail();
        assert!(log.contains(&name), "the refusal does not name the node:\n{log}");
        assert!(!cluster.nodes[twin].data().exists(), "the refused node made a data file");
    }
    assert_eq!(cluster.nodes[first].backends(), backends);
    let after = cluster.nodes[first].status();
    assert_eq!((&after["role"], &after["epoch"]), (&status["role"], &status["epoch"]));
}
