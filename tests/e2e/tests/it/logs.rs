//! What is logged, how, and what never is.

use ccm_harness::{Cluster, ClusterOptions, Node, PATIENCE, Ran, wait};
use serde_json::{Value, json};

use crate::machine::beside_others;

/// What lets somebody in: found nowhere else.
const SECRET: &str = "s3cr3t-0f-th3-clust3r";
/// A second one, that does not let anybody in.
const WRONG: &str = "wr0ng-s3cr3t-0f-th3-clust3r";

fn variable(name: &str, value: &str) -> (String, String) {
    (String::from(name), String::from(value))
}

#[test]
fn a_line_of_json_is_one_object_and_a_change_of_role_is_one_line() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions::default());
    for node in &mut cluster.nodes {
        node.env.push(variable("CCM_LOG_FORMAT", "json"));
        node.start();
    }
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    // The backend answers before the daemon has seen that it does.
    wait::until(PATIENCE, "the primary to say so", || {
        cluster.nodes[first].log_tail().contains("the backend serves").then_some(())
    });
    cluster.switchover(first, 1 - first).ok();
    cluster.wait_follows(first);

    let lines = |index: usize| {
        let text = std::fs::read_to_string(cluster.nodes[index].log()).unwrap();
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        text.lines().map(read).collect::<Vec<Value>>()
    };
    let keys = ["time", "level", "message", "target", "cluster", "node", "role", "epoch", "fields"];
    for line in lines(first).iter().chain(&lines(1 - first)) {
        let found: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(found, keys, "{line}");
        assert_eq!(line["cluster"], "test", "{line}");
        assert_ne!(line["level"], "WARN", "nothing was wrong: {line}");
    }
    let roles = |index: usize| {
        let lines = lines(index);
        let changes = lines.iter().filter(|line| line["message"] == "role");
        let words = changes.map(|line| {
            let fields = &line["fields"];
            assert!(fields["took_ms"].as_u64().is_some(), "{line}");
            assert!(fields["reason"].as_str().is_some_and(|why| !why.is_empty()), "{line}");
            assert_eq!(line["role"], fields["role"], "{line}");
            (String::from(line["role"].as_str().unwrap()), fields["epoch"].as_u64())
        });
        words.collect::<Vec<_>>()
    };
    let role = |role: &str, epoch| (String::from(role), epoch);
    let expected = [role("PASSIVE", None), role("PRIMARY", Some(1)), role("PASSIVE", Some(1))];
    assert_eq!(roles(first), expected);
    assert_eq!(roles(1 - first), [role("PASSIVE", None), role("PRIMARY", Some(2))]);
}

#[test]
fn a_format_that_does_not_exist_is_said_and_text_is_written() {
    let _machine = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    cluster.nodes[0].env.push(variable("CCM_LOG_FORMAT", "xml"));
    cluster.nodes[0].start();
    cluster.wait_serving();
    let log = cluster.nodes[0].log_tail();
    assert!(log.contains("CCM_LOG_FORMAT is \"xml\": write text, json or journal"), "{log}");
    assert!(log.contains("ccm starts"), "{log}");
}

/// What was printed, and by what.
#[derive(Default)]
struct Printed(Vec<(String, String)>);

impl Printed {
    fn note(&mut self, what: &str, ran: &Ran) {
        self.0.push((String::from(what), format!("{}{}", ran.out, ran.err)));
    }

    /// What the daemon, its guard and its backend have written into the folder of the node.
    fn note_logs(&mut self, node: &Node) {
        let state = node.dir.join("replica.db-ccm");
        for path in [node.log(), state.join("guard.log"), state.join("backend.log")] {
            let text = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            self.0.push((path.display().to_string(), text));
        }
    }
}

/// Two nodes that log everything: one has the password in the URL, one beside it.
fn with_a_secret() -> Cluster {
    let options = ClusterOptions {
        nats_args: ["--user", "u", "--pass", SECRET].map(String::from).to_vec(),
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::prepare(options);
    let port = cluster.nats.port();
    let logins = [
        json!({ "servers": [format!("nats://u:{SECRET}@127.0.0.1:{port}")] }),
        json!({
            "servers": [format!("nats://127.0.0.1:{port}")], "user": "u", "password": SECRET,
        }),
    ];
    for (node, login) in cluster.nodes.iter_mut().zip(logins) {
        node.edit_config(|config| config["nats"] = login);
        node.env.push(variable("CCM_LOG", "trace,async_nats=trace"));
        node.start();
    }
    cluster
}

#[test]
fn a_secret_is_printed_nowhere() {
    let _machine = beside_others();
    let mut cluster = with_a_secret();
    let mut printed = Printed::default();
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    for index in [0, 1] {
        for (verb, args) in [
            ("status", &[][..]),
            ("status", &["--json"]),
            ("check", &["--json"]),
            ("services", &["list", "--json"]),
            ("verify", &[]),
            ("ltx", &["list"]),
            ("snapshot", &["--json"]),
            ("diverged", &["list"]),
            ("join", &[]),
            ("demote", &["--json"]),
        ] {
            printed.note(verb, &cluster.nodes[index].ccm(verb, args));
        }
        cluster.wait_serving();
    }

    // The same with a password that is refused, with options that are, and without a server.
    let port = cluster.nats.port();
    let node = &mut cluster.nodes[0];
    node.edit_config(|config| {
        config["nats"] = json!({ "servers": [format!("nats://u:{WRONG}@127.0.0.1:{port}")] });
    });
    node.kill_daemon();
    node.start();
    wait::until(PATIENCE, "NATS to refuse the password, in the log", || {
        node.log_tail().contains("refuses the credentials").then_some(())
    });
    printed.note("status, refused", &node.ccm("status", &["--json"]));
    let config = node.dir.join("other.json").display().to_string();
    for (scheme, more) in [("http", "--json"), ("nats", "--json"), ("nats", "--force")] {
        let server = format!("{scheme}://u:{WRONG}@127.0.0.1:1");
        let init = ["init", "--cluster-id", "c", "--node-id", "n", "--config", &config];
        let ran = ccm_harness::ccm(&[&init[..], &["--nats", &server, more]].concat());
        printed.note("init", &ran);
    }
    cluster.nats.kill();
    printed.note("status, no server", &cluster.nodes[1].ccm("status", &[]));
    for node in &mut cluster.nodes {
        node.terminate(PATIENCE);
        printed.note_logs(node);
    }

    let Printed(printed) = printed;
    assert!(printed.iter().any(|(_, text)| text.contains("TRACE")), "nothing was traced");
    for (what, text) in &printed {
        for secret in [SECRET, WRONG] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{what} prints a secret");
        }
    }
}
