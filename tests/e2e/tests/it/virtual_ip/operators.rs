//! What operators do to it and see of it.

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, VIP, in_lan, wait};
use serde_json::json;

use super::on_two_hosts;
use crate::machine::alone;

#[test]
fn one_that_is_deleted_by_hand_comes_back_and_the_status_says_what_the_kernel_has() {
    on_two_hosts(ClusterOptions::default(), |lan, cluster, first, other| {
        let on_first = cluster.nodes[first].operator();
        let line = |label: &str| {
            let text = cluster.nodes[first].ccm("status", &[]).ok().out;
            text.lines().find_map(|line| line.strip_prefix(label).map(|l| l.trim().to_owned()))
        };
        assert_eq!(line("VIP:").as_deref(), Some("10.77.0.100/24"));
        assert_eq!(line("VIP Status:").as_deref(), Some("held (this node is PRIMARY)"));
        let passive = cluster.nodes[other].ccm("status", &[]).ok().out;
        assert!(passive.contains("\nVIP Status:  not held\n"), "{passive}");

        cluster.hosts()[first].ip("address delete 10.77.0.100/24 dev eth0");
        cluster.wait_vip(first);
        cluster.wait_answers_at_vip(lan, first);
        let log = std::fs::read_to_string(cluster.nodes[first].log()).unwrap();
        assert!(log.contains("the virtual IP was removed by something else"), "{log}");

        // By hand on the wrong node: the status there says so until somebody takes it off.
        cluster.hosts()[other].ip("address add 10.77.0.100/24 dev eth0");
        let status = cluster
            .wait_status(other, "that it has the address", |status| !status["problem"].is_null());
        assert_eq!(status["vip"], json!({ "address": "10.77.0.100/24", "held": true }));
        assert_eq!(
            status["problem"],
            "the virtual IP 10.77.0.100 is on eth0 although this node is not PRIMARY: `ccm vip \
             release` takes it off"
        );
        let ran = cluster.nodes[other].ccm("vip", &["release"]).ok();
        assert_eq!(ran.out, "10.77.0.100/24 on eth0: ✓ taken off\n");
        cluster.wait_vip(first);
        cluster.wait_status(other, "no problem", |status| status["problem"].is_null());

        // Refused on the primary; with force its daemon takes it back.
        assert_eq!(on_first.ccm("vip", &["release"]).code, Some(75));
        let forced = on_first.ccm("vip", &["release", "--force", "--json"]).ok();
        assert_eq!(forced.json()["removed"], true, "{forced:?}");
        cluster.wait_vip(first);
    });
}

#[test]
fn the_commands_need_neither_daemon_nor_nats() {
    let _machine = alone();
    in_lan(|lan| {
        let options = ClusterOptions { nodes: 1, ..ClusterOptions::default() };
        let mut cluster = Cluster::prepare_on(lan, options);
        cluster.nats.kill();
        let (node, host) = (&cluster.nodes[0], cluster.hosts().remove(0));
        let status = || node.ccm("vip", &["status"]).ok().out;
        assert_eq!(status(), "10.77.0.100/24 on eth0: not held\n");
        host.ip("address add 10.77.0.100/24 dev eth0");
        assert_eq!(status(), "10.77.0.100/24 on eth0: held\n");
        let shown = node.ccm("vip", &["status", "--json"]).ok().json();
        assert_eq!(
            shown,
            json!({ "address": "10.77.0.100/24", "interface": "eth0", "held": true,
                    "elsewhere": [], "problem": null })
        );
        assert_eq!(node.ccm("vip", &["release"]).ok().out, "10.77.0.100/24 on eth0: ✓ taken off\n");
        assert!(!host.has(VIP));
        assert_eq!(
            node.ccm("vip", &["release"]).ok().out,
            "10.77.0.100/24 on eth0: was not there\n"
        );

        node.edit_config(|config| {
            config.as_object_mut().unwrap().remove("vip");
        });
        let none = node.ccm("vip", &["status"]);
        assert_eq!(none.code, Some(64), "{none:?}");
        assert!(none.err.contains("no virtual IP is configured"), "{}", none.err);
    });
}

#[test]
fn an_interface_that_is_not_there_does_not_keep_the_backend_from_serving() {
    let _machine = alone();
    in_lan(|lan| {
        let options = ClusterOptions { nodes: 1, ..ClusterOptions::default() };
        let mut cluster = Cluster::prepare_on(lan, options);
        cluster.nodes[0].edit_config(|config| config["vip"]["interface"] = json!("eth7"));
        cluster.nodes[0].start();
        cluster.wait_serving();
        cluster.wait_status(0, "what is wrong", |status| {
            let words = status["problem"].as_str().unwrap_or_default();
            status["role"] == "PRIMARY" && words.contains("there is no interface eth7")
        });
        // It comes later.
        let host = cluster.hosts().remove(0);
        host.ip("link add eth7 type bridge");
        wait::until(PATIENCE, "it to be taken", || host.has(VIP).then_some(()));
    });
}
