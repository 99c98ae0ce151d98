//! A NATS server and nodes over it, each with a folder, a configuration and a daemon.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{free_port, run};
use crate::rows::clients;
use crate::{Ack, LeaseWatch, NatsServer, Node, OneBackend, Ran, Rows, Writer, bin_dir, build};
use crate::{processes, wait};

/// When a wait for something that should simply happen is given up: far above what anything takes
/// on a busy machine, so that it tells a hang from slowness and nothing else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two times that a node is asked for its status.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How to set up a cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The cluster ID.
    pub id: String,
    /// How many nodes.
    pub nodes: usize,
    /// `election.leaderTtlMs`.
    pub ttl: Duration,
    /// `election.heartbeatIntervalMs`.
    pub heartbeat: Duration,
    /// The backend's `--synchronous`: `full` or `normal`.
    pub synchronous: String,
    /// Further arguments of the backend.
    pub backend_args: Vec<String>,
    /// Further arguments of nats-server.
    pub nats_args: Vec<String>,
}

impl Default for ClusterOptions {
    /// Two nodes with a short lease: a test waits for several.
    fn default() -> Self {
        Self {
            id: String::from("test"),
            nodes: 2,
            ttl: Duration::from_secs(3),
            heartbeat: Duration::from_millis(600),
            synchronous: String::from("full"),
            backend_args: Vec::new(),
            nats_args: Vec::new(),
        }
    }
}

/// A NATS server and nodes.
///
/// Dropped, it kills every process that names its folder, guards that have detached themselves
/// included, and removes the folder.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, `node-1` first.
    pub nodes: Vec<Node>,
    /// How it was set up.
    pub options: ClusterOptions,
    /// The server.
    pub nats: NatsServer,
    dir: TempDir,
}

impl Cluster {
    /// Builds the programs, starts the server and writes the configurations; starts no daemon.
    #[must_use]
    pub fn prepare(options: ClusterOptions) -> Self {
        build();
        let arguments: Vec<&str> = options.nats_args.iter().map(String::as_str).collect();
        let nats = NatsServer::start_with(&arguments);
        let dir = tempfile::Builder::new().prefix("ccm-cluster-").tempdir().unwrap();
        let mut cluster = Self { nodes: Vec::new(), options, nats, dir };
        for number in 1..=cluster.options.nodes {
            cluster.add_node(&format!("node-{number}"));
        }
        cluster
    }

    /// [`Cluster::prepare`], then starts every daemon and waits until one node serves.
    #[must_use]
    pub fn start(options: ClusterOptions) -> Self {
        let mut cluster = Self::prepare(options);
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.wait_serving();
        cluster
    }

    /// Adds a node with a folder and a configuration; its index.
    pub fn add_node(&mut self, name: &str) -> usize {
        let node = Node::new(String::from(name), self.dir.path().join(name), free_port());
        node.write_config(&self.config(&node));
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn config(&self, node: &Node) -> Value {
        let mut command = vec![
            bin_dir().join("demo-backend").display().to_string(),
            String::from("--db"),
            node.data().display().to_string(),
            String::from("--listen"),
            format!("127.0.0.1:{}", node.port),
            String::from("--synchronous"),
            self.options.synchronous.clone(),
            String::from("--host"),
            node.name.clone(),
        ];
        command.extend(self.options.backend_args.iter().cloned());
        json!({
            "clusterId": self.options.id,
            "nodeId": node.name,
            "address": "127.0.0.1",
            "nats": { "servers": [self.nats.url()] },
            "election": {
                "leaderTtlMs": millis(self.options.ttl),
                "heartbeatIntervalMs": millis(self.options.heartbeat),
            },
            "wal": { "replicaPath": node.replica() },
            "backend": {
                "kind": "process",
                "command": command,
                "healthEndpoint": format!("http://127.0.0.1:{}/health", node.port),
                "dataPath": node.data(),
            },
            "http": { "healthListen": "off", "metricsListen": "off" },
        })
    }

    /// The folder of everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The ports of the backends, by node.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.port).collect()
    }

    /// The index of the node whose backend answers.
    #[must_use]
    pub fn serving(&self) -> Option<usize> {
        self.nodes.iter().position(Node::serves)
    }

    /// Waits until a backend answers; the index of its node.
    pub fn wait_serving(&self) -> usize {
        wait::until(PATIENCE, "a node to serve", || self.serving())
    }

    /// Waits until the backend of node `index` answers.
    pub fn wait_serves(&self, index: usize) {
        let node = &self.nodes[index];
        let what = format!("{} to serve", node.name);
        wait::until(PATIENCE, &what, || node.serves().then_some(()));
    }

    /// Waits until `ccm status --json` on node `index` satisfies `holds`; the status.
    pub fn wait_status(
        &self,
        index: usize,
        what: &str,
        mut holds: impl FnMut(&Value) -> bool,
    ) -> Value {
        let node = &self.nodes[index];
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = node.status();
            if holds(&status) {
                return status;
            }
            let name = &node.name;
            assert!(Instant::now() < deadline, "{name} never said {what}, last it said {status:#}");
            std::thread::park_timeout(ASK_EVERY);
        }
    }

    /// Waits until node `index` is passive and has applied what the primary has shipped.
    pub fn wait_follows(&self, index: usize) {
        self.wait_status(index, "PASSIVE and following", |status| {
            status["role"] == "PASSIVE"
                && status["problem"].is_null()
                && status["txid"].as_u64().is_some_and(|txid| txid > 0)
        });
    }

    /// A load of `rate` writes a second to whoever serves.
    #[must_use]
    pub fn writer(&self, name: &str, rate: u32) -> Writer {
        Writer::start(&self.ports(), name, 4, rate)
    }

    /// Waits until `more` further writes are acknowledged.
    pub fn wait_acknowledged(&self, writer: &Writer, more: usize) {
        let goal = writer.acknowledged() + more;
        let what = format!("{more} more acknowledged writes");
        wait::until(PATIENCE, &what, || (writer.acknowledged() >= goal).then_some(()));
    }

    /// A watch for two backends at once.
    #[must_use]
    pub fn one_backend(&self) -> OneBackend {
        OneBackend::watch(self.dir.path())
    }

    /// A watch of the lease.
    #[must_use]
    pub fn lease_watch(&self) -> LeaseWatch {
        LeaseWatch::start(self.nats.port(), &self.options.id)
    }

    /// The rows that the node serves, of every client in `acks`.
    #[must_use]
    pub fn rows(&self, index: usize, acks: &[Ack]) -> Rows {
        let clients: BTreeSet<String> = clients(acks);
        Rows::read(self.nodes[index].port, &clients).unwrap()
    }

    /// `PRAGMA integrity_check` through the node's backend.
    #[must_use]
    pub fn integrity(&self, index: usize) -> String {
        let answer = self.nodes[index].get("/integrity", PATIENCE).unwrap_or(Value::Null);
        String::from(answer["integrity"].as_str().unwrap_or("no answer"))
    }

    /// `ccm switchover --to` node `index`, asked on node `on`.
    #[must_use]
    pub fn switchover(&self, on: usize, index: usize) -> Ran {
        self.nodes[on].ccm("switchover", &["--to", &self.nodes[index].name])
    }

    /// SIGKILLs everything node `index` runs; the moment before the first signal.
    pub fn kill_host(&mut self, index: usize) -> Instant {
        let at = Instant::now();
        self.nodes[index].kill_host();
        at
    }

    /// What the daemons have logged last.
    #[must_use]
    pub fn logs(&self) -> String {
        let shown = |node: &Node| format!("--- {}\n{}\n", node.name, node.log_tail());
        self.nodes.iter().map(shown).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::io::Write::write_all(&mut std::io::stderr(), self.logs().as_bytes()).ok();
        }
        for node in &mut self.nodes {
            node.kill_daemon();
        }
        processes::kill_all_under(self.dir.path());
    }
}

/// Runs ccm without a node.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn ccm(args: &[&str]) -> Ran {
    run(std::process::Command::new(bin_dir().join("ccm")).args(args))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
