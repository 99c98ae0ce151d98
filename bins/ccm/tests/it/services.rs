//! `ccm services`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ccm_discovery::{Health, ServiceRecord, Services};
use ccm_harness::{NatsServer, bound};
use serde_json::json;

use crate::node::Node;

const BUCKET: &str = "convex-test-services";
const LONG: Duration = Duration::from_secs(300);

async fn open(nats: &NatsServer) -> Services {
    let client = async_nats::connect(nats.url()).await.unwrap();
    Services::open(client, String::from(BUCKET), 1).await.unwrap()
}

fn record(name: &str, node: &str, protocol: &str, tags: &[&str]) -> ServiceRecord {
    let record = json!({
        "app": "test", "name": name, "node": node, "address": "10.0.1.10", "port": 3210,
        "protocol": protocol, "path": "/", "healthPath": null, "metadata": { "format": "x" },
        "tags": tags, "health": "passing", "registeredAt": "2026-01-02T03:04:05Z",
        "updatedAt": "2026-01-02T03:04:05Z",
    });
    serde_json::from_value(record).unwrap()
}

/// A cluster of two nodes with a few services.
async fn offered(nats: &NatsServer) -> Services {
    let services = open(nats).await;
    let standby = ServiceRecord {
        health: Health::Standby,
        ..record("http", "node-2", "http", &["api", "public"])
    };
    for record in [
        record("syslog", "node-1", "tcp", &["logging", "syslog"]),
        standby,
        record("http", "node-1", "http", &["api", "public"]),
        record("metrics", "node-1", "http", &["monitoring", "prometheus"]),
    ] {
        services.register(&record, LONG).await.unwrap();
    }
    services
}

const HEADER: &str = "SERVICE   NODE     ADDRESS        PORT   PROTOCOL  HEALTH   TAGS\n";

#[tokio::test]
async fn services_are_listed_in_the_columns_of_the_seed_and_filtered() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let ran = node.ccm(&["services", "list"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), HEADER, ""));
    let _services = offered(&nats).await;
    let line = [
        "http      node-1   10.0.1.10      3210   http      passing  api,public\n",
        "http      node-2   10.0.1.10      3210   http      standby  api,public\n",
        "metrics   node-1   10.0.1.10      3210   http      passing  monitoring,prometheus\n",
        "syslog    node-1   10.0.1.10      3210   tcp       passing  logging,syslog\n",
    ];
    let table: [(&[&str], &[usize]); 8] = [
        (&[], &[0, 1, 2, 3]),
        (&["--tag", "api"], &[0, 1]),
        (&["--tag", "api", "--tag", "public", "--health", "standby"], &[1]),
        (&["--name", "syslog"], &[3]),
        (&["--node", "node-2"], &[1]),
        (&["--node", "node-1", "--health", "passing"], &[0, 2, 3]),
        (&["--tag", "no-such-tag"], &[]),
        (&["--health", "critical"], &[]),
    ];
    for (filter, lines) in table {
        let ran = node.ccm(&[&["services", "list"], filter].concat());
        let expected: String = lines.iter().map(|&index| line[index]).collect();
        assert_eq!(ran.code, Some(0), "{filter:?}: {}", ran.err);
        assert_eq!(ran.out, format!("{HEADER}{expected}"), "{filter:?}");
    }
    let told = node.ccm(&["services", "list", "--json", "--tag", "syslog"]).json();
    let expected = record("syslog", "node-1", "tcp", &["logging", "syslog"]);
    assert_eq!(told, json!({ "services": [expected], "ignored": [] }));
    let told = node.ccm(&["services", "list", "--json", "--tag", "no-such-tag"]).json();
    assert_eq!(told, json!({ "services": [], "ignored": [] }));
    for wrong in [["--health", "good"], ["--name", "a.b"], ["--node", "a b"]] {
        let ran = node.ccm(&["services", "list", wrong[0], wrong[1]]);
        assert_eq!(ran.code, Some(64), "{}", ran.err);
        assert!(ran.err.contains(wrong[1]), "{}", ran.err);
    }
}

#[tokio::test]
async fn garbage_of_a_peer_is_ignored_and_named() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let _services = offered(&nats).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    client.request(format!("$KV.{BUCKET}.http.node-3"), "{ nonsense".into()).await.unwrap();
    let ran = node.ccm(&["services", "list", "--name", "http"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 3), "{}", ran.out);
    let expected = format!("warning: ignored in {BUCKET}, no service records: http.node-3\n");
    assert_eq!(ran.err, expected);
    let told = node.ccm(&["services", "list", "--json", "--name", "http"]).json();
    assert_eq!(told["ignored"], json!(["http.node-3"]));
    let ran = node.ccm(&["services", "export", "--format", "prometheus", "--tag", "prometheus"]);
    assert_eq!((ran.code, ran.json().as_array().unwrap().len()), (Some(0), 1));
}

#[tokio::test]
async fn a_service_is_shown_with_all_its_instances_and_an_unknown_one_is_64() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let ran = node.ccm(&["services", "show", "http"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("no service is registered at all"), "{}", ran.err);
    let _services = offered(&nats).await;
    let ran = node.ccm(&["services", "show", "http"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("Service:   http\nInstances: 2\n\nnode-1\n"), "{}", ran.out);
    assert!(ran.out.contains("  Address:    10.0.1.10:3210\n"), "{}", ran.out);
    let told = node.ccm(&["services", "show", "http", "--json"]).json();
    assert_eq!((&told["name"], &told["instances"][1]["node"]), (&json!("http"), &json!("node-2")));
    let ran = node.ccm(&["services", "show", "htpp"]);
    assert_eq!(ran.code, Some(64));
    let expected = "error: no service htpp is registered: there are http, metrics, syslog\n";
    assert_eq!(ran.err, expected);
}

#[tokio::test]
async fn every_format_is_exported_to_standard_output_or_a_file() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let _services = offered(&nats).await;
    let export = |format: &str, more: &[&str]| {
        let ran = node.ccm(&[&["services", "export", "--format", format], more].concat());
        assert_eq!(ran.code, Some(0), "{format}: {}", ran.err);
        ran
    };
    let told = export("prometheus", &["--tag", "prometheus"]).json();
    assert_eq!(told[0]["targets"], json!(["10.0.1.10:3210"]));
    assert_eq!(told[0]["labels"]["service"], "metrics");
    let told = export("syslog", &[]).json();
    assert_eq!((told.as_array().unwrap().len(), &told[0]["labels"]["format"]), (1, &json!("x")));
    let told = export("consul", &["--tag", "api"]).json();
    assert_eq!(told["services"].as_array().unwrap().len(), 2);
    let told = export("json", &["--name", "http"]).json();
    assert_eq!(told[1]["health"], "standby");
    assert_eq!(node.ccm(&["services", "export"]).json().as_array().unwrap().len(), 4);
    for (format, empty) in [
        ("prometheus", "[]\n"),
        ("syslog", "[]\n"),
        ("json", "[]\n"),
        ("consul", "{\n  \"services\": []\n}\n"),
    ] {
        assert_eq!(export(format, &["--tag", "no-such-tag"]).out, empty);
    }
    let file = node.path("targets.json");
    let shown = file.display().to_string();
    let ran = export("prometheus", &["--tag", "prometheus", "--output", &shown]);
    assert_eq!(ran.out, "");
    let printed = export("prometheus", &["--tag", "prometheus"]).out;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), printed);
}

#[tokio::test]
async fn wrong_exports_are_64_and_change_nothing_and_without_nats_it_is_69() {
    // Nobody listens there.
    let node = Node::new("node-1", "nats://127.0.0.1:1");
    let ran = node.ccm(&["services", "export", "--format", "zabbix"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("prometheus, syslog, consul, json"), "{}", ran.err);
    let ran = node.ccm(&["services", "export", "--watch"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("--output"), "{}", ran.err);
    let missing = node.path("no-such-folder/targets.json").display().to_string();
    for path in [missing.as_str(), "/dev/null", "/"] {
        let ran = node.ccm(&["services", "export", "--output", path]);
        assert_eq!(ran.code, Some(64), "{}", ran.err);
        assert!(ran.err.starts_with(&format!("error: cannot write {path}")), "{}", ran.err);
    }
    let file = node.path("targets.json");
    std::fs::write(&file, "before").unwrap();
    let shown = file.display().to_string();
    let ran = node.ccm(&["services", "export", "--output", &shown]);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(node.ccm(&["services", "list"]).code, Some(69));
}

/// A `ccm services watch` that dies with the test, and the lines it prints.
struct Watching {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(node: &Node, more: &[&str]) -> Self {
        let mut ccm = Command::new(env!("CARGO_BIN_EXE_ccm"));
        ccm.args(["services", "watch", "--config"]).arg(node.path("cluster.json")).args(more);
        let mut ccm = bound(&ccm);
        let mut child = ccm.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.as_mut().unwrap().read_line(&mut line).unwrap();
        assert!(read > 0, "the watch has ended");
        line
    }

    /// The next line, without the time it begins with.
    fn next(&mut self) -> String {
        let line = self.line();
        let (at, rest) = line.split_once("  ").unwrap();
        at.parse::<jiff::Timestamp>().unwrap();
        String::from(rest.trim_end())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn a_watch_prints_what_is_there_and_every_change_and_ends_when_nobody_reads() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let services = open(&nats).await;
    let http = record("http", "node-1", "http", &["api"]);
    services.register(&http, LONG).await.unwrap();
    let mut watching = Watching::start(&node, &["--tag", "api"]);
    let tail = "http  node-1  10.0.1.10:3210  http";
    assert_eq!(watching.next(), format!("registered    {tail}  passing  api"));
    let critical = ServiceRecord { health: Health::Critical, ..http.clone() };
    services.register(&record("syslog", "node-1", "tcp", &[]), LONG).await.unwrap();
    services.register(&critical, LONG).await.unwrap();
    assert_eq!(watching.next(), format!("health        {tail}  passing -> critical  api"));
    services.deregister(&http.name, &http.node).await.unwrap();
    assert_eq!(watching.next(), format!("deregistered  {tail}  critical  api"));

    // Like `| head`.
    watching.lines = None;
    let mut register = 0;
    let ended = ccm_harness::wait::until_async(
        Duration::from_secs(60),
        "the watch to end",
        tokio::time::sleep,
        || {
            register += 1;
            let path = Some(format!("/{register}"));
            let changed = ServiceRecord { path, ..http.clone() };
            let (services, ended) = (services.clone(), watching.child.try_wait().unwrap());
            async move {
                services.register(&changed, LONG).await.unwrap();
                ended
            }
        },
    )
    .await;
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn a_watch_as_json_is_one_object_a_line() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let services = open(&nats).await;
    let http = record("http", "node-1", "http", &["api"]);
    services.register(&http, LONG).await.unwrap();
    let mut watching = Watching::start(&node, &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!(told["change"], "registered");
    assert_eq!(told["service"], serde_json::to_value(&http).unwrap());
}
