//! `ccm history`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ccm_harness::{NatsServer, bound};
use ccm_history::{BackendNews, Event, History, RoleChange, What};
use ccm_types::{ClusterId, Epoch, NodeId, RoleName};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::node::Node;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a daemon of this name records, published for as long as the set lives.
async fn daemon(nats: &NatsServer, name: &str, running: &mut JoinSet<()>) -> History {
    let (cluster, node) = (ClusterId::new("test").unwrap(), NodeId::new(name).unwrap());
    let history = History::new(cluster, node, "instance");
    let client = async_nats::connect(nats.url()).await.unwrap();
    running.spawn(history.clone().run(client, 1));
    history
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_704_164_645 + second).unwrap()
}

/// Two events of node-1, then one of node-2.
async fn recorded(nats: &NatsServer, running: &mut JoinSet<()>) -> [History; 2] {
    let daemons = [daemon(nats, "node-1", running).await, daemon(nats, "node-2", running).await];
    let role = RoleChange { role: RoleName::Passive, reason: String::from("started") };
    daemons[0].record(at(0), None, &What::Role(role));
    let restarted = What::Backend(BackendNews::Restarted);
    daemons[0].record(at(1), Some(Epoch::new(3)), &restarted);
    assert!(daemons[0].flush(PATIENCE).await);
    daemons[1].record(at(2), Some(Epoch::new(4)), &restarted);
    assert!(daemons[1].flush(PATIENCE).await);
    daemons
}

const LINES: [&str; 3] = [
    "2024-01-02T03:04:05.000Z  node-1  role     -      node-1 is PASSIVE: started",
    "2024-01-02T03:04:06.000Z  node-1  backend  3      the backend of node-1 serves again",
    "2024-01-02T03:04:07.000Z  node-2  backend  4      the backend of node-2 serves again",
];

#[tokio::test]
async fn events_are_listed_filtered_and_told_to_programs() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let ran = node.ccm(&["history"]);
    let header = "AT  NODE  KIND  EPOCH  WHAT\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), header, ""));
    let mut running = JoinSet::new();
    let _daemons = recorded(&nats, &mut running).await;
    let table: [(&[&str], &[usize]); 8] = [
        (&[], &[0, 1, 2]),
        (&["--limit", "2"], &[1, 2]),
        (&["-n", "1", "--node", "node-1"], &[1]),
        (&["--kind", "backend"], &[1, 2]),
        (&["--node", "node-2", "--kind", "role"], &[]),
        (&["--since", "2024-01-02T03:04:06Z"], &[1, 2]),
        (&["--since", "2024-01-02T04:04:07+01:00"], &[2]),
        (&["--since", "1ms"], &[]),
    ];
    for (more, expected) in table {
        let ran = node.ccm(&[&["history"], more].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{more:?}");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = ran.out.lines().skip(1).map(words).collect();
        let expected: Vec<String> = expected.iter().map(|&index| words(LINES[index])).collect();
        assert_eq!(lines, expected, "{more:?}");
    }
    assert_eq!(node.ccm(&["history"]).out.lines().skip(1).collect::<Vec<_>>(), LINES);
    let told = node.ccm(&["history", "--json", "--limit", "1"]).json();
    let expected = json!({
        "at": "2024-01-02T03:04:07.000Z", "node": "node-2", "kind": "backend", "epoch": 4,
        "message": "the backend of node-2 serves again", "details": { "state": "restarted" },
    });
    assert_eq!(told, json!({ "events": [expected], "ignored": 0 }));
    for wrong in [["--kind", "nonsense"], ["--since", "whenever"], ["--node", "a b"]] {
        let ran = node.ccm(&["history", wrong[0], wrong[1]]);
        assert_eq!(ran.code, Some(64), "{}", ran.err);
        assert!(ran.err.contains(wrong[1]), "{}", ran.err);
    }
}

#[tokio::test]
async fn garbage_is_said_and_a_server_that_is_away_is_69() {
    let mut nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let mut running = JoinSet::new();
    let _daemons = recorded(&nats, &mut running).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    client.request("convex.test.history.node-1.role", "{ nonsense".into()).await.unwrap();
    let ran = node.ccm(&["history"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 4));
    assert_eq!(ran.err, "warning: ignored in convex-test-history, no events: 1\n");
    assert_eq!(node.ccm(&["history", "--json"]).json()["ignored"], 1);
    nats.kill();
    assert_eq!(node.ccm(&["history"]).code, Some(69));
}

/// A `ccm history --follow` that dies with the test, and the lines it prints.
struct Following {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Following {
    fn start(node: &Node, more: &[&str]) -> Self {
        let mut ccm = Command::new(env!("CARGO_BIN_EXE_ccm"));
        ccm.args(["history", "--follow", "--config"]).arg(node.path("cluster.json")).args(more);
        let mut ccm = bound(&ccm);
        let mut child = ccm.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).unwrap();
        assert!(read > 0, "it has ended");
        line
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_followed_one_object_a_line_through_an_outage() {
    let mut nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let mut running = JoinSet::new();
    let daemons = recorded(&nats, &mut running).await;
    let mut following = Following::start(&node, &["--json", "--limit", "1"]);
    let mut text = Following::start(&node, &["--node", "node-2"]);
    let mut next = || -> Value { serde_json::from_str(&following.next()).unwrap() };
    assert_eq!(next()["at"], "2024-01-02T03:04:07.000Z");
    assert!(text.next().starts_with("AT "));
    assert!(text.next().ends_with("the backend of node-2 serves again\n"));
    daemons[0].record(at(3), None, &What::Backend(BackendNews::Restarted));
    assert_eq!(next()["at"], "2024-01-02T03:04:08.000Z");
    nats.kill();
    let why = String::from("it ended");
    daemons[1].record(at(4), None, &What::Backend(BackendNews::Failed { why }));
    nats.restart();
    let told: Event = serde_json::from_value(next()).unwrap();
    assert_eq!(told.message, "the backend of node-2 is restarted: it ended");
    assert!(text.next().ends_with("the backend of node-2 is restarted: it ended\n"));
}
