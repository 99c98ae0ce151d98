//! A real Prometheus finds the nodes by the file that ccm keeps current, and scrapes them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, Prometheus, promtool, wait};
use serde_json::{Value, json};

use super::start;
use crate::machine::alone;

/// Answers every request with metrics, for as long as the test process lives; its port.
fn metrics(node: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = format!("# TYPE test_up gauge\ntest_up{{of=\"{node}\"}} 1\n");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
                line.clear();
            }
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: \
                 close\r\ncontent-length: {length}\r\n\r\n"
            );
            // Prometheus may have given up.
            stream.get_mut().write_all(format!("{head}{body}").as_bytes()).ok();
        }
    });
    port
}

/// `NODE HEALTH` of the targets that Prometheus has.
fn targets(prometheus: &Prometheus) -> Vec<String> {
    let word = |value: &Value| String::from(value.as_str().unwrap_or_default());
    let target =
        |target: &Value| format!("{} {}", word(&target["labels"]["node"]), word(&target["health"]));
    let mut targets: Vec<String> = prometheus.targets().iter().map(target).collect();
    targets.sort();
    targets
}

fn wait_targets(prometheus: &Prometheus, expected: &[&str]) {
    let what = format!("Prometheus to have the targets {expected:?}");
    wait::until(PATIENCE, &what, || (targets(prometheus) == expected).then_some(()));
}

fn check(file: &str, path: &Path) {
    let output = Command::new(promtool()).args(["check", file]).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool: {said}");
}

#[test]
fn prometheus_scrapes_what_the_export_names_and_follows_the_cluster() {
    let _machine = alone();
    let mut cluster = Cluster::prepare(ClusterOptions::default());
    for node in &mut cluster.nodes {
        let port = metrics(&node.name);
        super::offer(node);
        node.edit_config(|config| {
            let metrics = &mut config["services"]["metrics"];
            metrics["port"] = json!(port);
            metrics["metadata"]["scrape_interval"] = json!("1s");
        });
        node.start();
    }
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    let file = cluster.dir().join("targets.json");
    let shown = file.display().to_string();
    let prometheus = Prometheus::start(&file);
    let keep = ["export", "--format", "prometheus", "--tag", "prometheus", "--watch", "-o", &shown];
    let mut keeping = cluster.nodes[first].operator().start_ccm("services", &keep);

    wait_targets(&prometheus, &["node-1 up", "node-2 up"]);
    check("config", &prometheus.config());
    for node in ["node-1", "node-2"] {
        let query = format!("test_up%7Bof%3D%22{node}%22%7D");
        let found = wait::until(PATIENCE, "a sample to be there", || {
            prometheus.query(&query).into_iter().next()
        });
        let labels = &found["metric"];
        assert_eq!((&labels["node"], &labels["service"]), (&json!(node), &json!("metrics")));
        assert_eq!((&labels["app"], &labels["job"]), (&json!("test"), &json!("convex-cluster")));
    }
    for target in prometheus.targets() {
        assert_eq!(
            (&target["scrapeInterval"], &target["scrapeTimeout"]),
            (&json!("1s"), &json!("1s"))
        );
        assert_eq!(target["discoveredLabels"]["__metrics_path__"], "/metrics");
        assert_eq!(target["discoveredLabels"]["__meta_ccm_tags"], ",monitoring,prometheus,");
    }

    let names = [&cluster.nodes[first].name, &cluster.nodes[other].name].map(String::clone);
    assert!(cluster.nodes[other].terminate(PATIENCE).success());
    wait_targets(&prometheus, &[&format!("{} up", names[0])]);
    cluster.nodes[other].start();
    wait_targets(&prometheus, &["node-1 up", "node-2 up"]);
    // The export goes on by itself until it is told to end.
    assert!(keeping.try_wait().unwrap().is_none());
    keeping.kill().unwrap();
    keeping.wait().unwrap();
}

#[test]
fn without_nats_the_file_stays_and_is_current_again_afterwards() {
    let _machine = alone();
    let mut cluster = start(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    cluster.wait_serving();
    super::wait_health(
        &cluster.nodes[0],
        &["http node-1 passing", "metrics node-1 passing", "syslog node-1 passing"],
    );
    let file = cluster.dir().join("targets.json");
    let shown = file.display().to_string();
    let keep = ["export", "--format", "syslog", "--watch", "--output", &shown];
    // On a host of its own: the node's is lost.
    let watcher = cluster.add_node("watcher");
    let mut keeping = cluster.nodes[watcher].operator().start_ccm("services", &keep);
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    let has = |words: &str| read().contains(words).then_some(());
    wait::until(PATIENCE, "the file to be written", || has("\"facility\": \"local0\""));
    let before = read();
    cluster.nats.kill();
    let said = cluster.nodes[watcher].dir.join("services.err");
    wait::until(PATIENCE, "the outage to be told", || {
        std::fs::read_to_string(&said).unwrap().contains("the file stays as it is").then_some(())
    });
    cluster.nodes[0].kill_host();
    assert_eq!(read(), before);
    cluster.nats.restart();
    cluster.nodes[0].edit_config(|config| {
        config["services"]["syslog"]["metadata"]["facility"] = json!("local7");
    });
    cluster.nodes[0].start();
    wait::until(PATIENCE, "the file to be current", || has("\"facility\": \"local7\""));
    assert!(keeping.try_wait().unwrap().is_none());
    keeping.kill().unwrap();
    keeping.wait().unwrap();
}
