//! A NATS server and nodes over it, each with a folder, a configuration and a daemon.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{free_port, run};
use crate::rows::clients;
use crate::{
    Ack, Host, Http, INTERFACE, Lan, LeaseWatch, NatsServer, Node, OneBackend, OneHolder, Ran,
    Rows, SWITCH, Writer, bin_dir, build,
};
use crate::{processes, wait};

/// When a wait for something that should simply happen is given up: far above what anything takes
/// on a busy machine, so that it tells a hang from slowness and nothing else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two times that a node is asked for its status.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The virtual IP of a cluster on a [`Lan`].
pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));

/// The port of every backend on a [`Lan`].
const LAN_PORT: u16 = 3210;

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
        let mut cluster = Self::without_nodes(options, "127.0.0.1");
        for number in 1..=cluster.options.nodes {
            cluster.add_node(&format!("node-{number}"));
        }
        cluster
    }

    /// [`Cluster::prepare`] with a host of its own for every node, and [`VIP`] as the virtual IP.
    #[must_use]
    pub fn prepare_on(lan: &Lan, options: ClusterOptions) -> Self {
        let mut cluster = Self::without_nodes(options, "0.0.0.0");
        for number in 1..=cluster.options.nodes {
            let host = lan.plug(u8::try_from(number).unwrap());
            cluster.add(&format!("node-{number}"), LAN_PORT, Some(host));
        }
        cluster
    }

    fn without_nodes(options: ClusterOptions, listen: &'static str) -> Self {
        build();
        let arguments: Vec<&str> = options.nats_args.iter().map(String::as_str).collect();
        let nats = NatsServer::start_on(listen, &arguments);
        let dir = tempfile::Builder::new().prefix("ccm-cluster-").tempdir().unwrap();
        Self { nodes: Vec::new(), options, nats, dir }
    }

    /// [`Cluster::prepare`], then starts every daemon and waits until one node serves.
    #[must_use]
    pub fn start(options: ClusterOptions) -> Self {
        let mut cluster = Self::prepare(options);
        cluster.start_all();
        cluster
    }

    /// [`Cluster::prepare_on`], then starts every daemon and waits until one node serves.
    #[must_use]
    pub fn start_on(lan: &Lan, options: ClusterOptions) -> Self {
        let mut cluster = Self::prepare_on(lan, options);
        cluster.start_all();
        cluster
    }

    fn start_all(&mut self) {
        for node in &mut self.nodes {
            node.start();
        }
        self.wait_serving();
    }

    /// Adds a node with a folder and a configuration; its index.
    pub fn add_node(&mut self, name: &str) -> usize {
        self.add(name, free_port(), None)
    }

    fn add(&mut self, name: &str, port: u16, host: Option<Host>) -> usize {
        let node = Node::new(String::from(name), self.dir.path().join(name), port, host);
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
            format!("{}:{}", if node.host.is_some() { "0.0.0.0" } else { "127.0.0.1" }, node.port),
            String::from("--synchronous"),
            self.options.synchronous.clone(),
            String::from("--host"),
            node.name.clone(),
        ];
        command.extend(self.options.backend_args.iter().cloned());
        let nats = match &node.host {
            Some(_) => format!("nats://{SWITCH}:{}", self.nats.port()),
            None => self.nats.url(),
        };
        let mut config = json!({
            "clusterId": self.options.id,
            "nodeId": node.name,
            "address": node.address(),
            "nats": { "servers": [nats] },
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
        });
        if node.host.is_some() {
            config["vip"] = json!({ "address": VIP, "netmask": 24, "interface": INTERFACE });
        }
        config
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

    /// A watch for two hosts that have the virtual IP at once.
    ///
    /// # Panics
    /// When the nodes have no hosts of their own.
    #[must_use]
    pub fn one_holder(&self) -> OneHolder {
        OneHolder::watch(VIP, &self.hosts())
    }

    /// The hosts of the nodes, in their order.
    ///
    /// # Panics
    /// When the nodes have none of their own.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        self.nodes.iter().map(|node| node.host.clone().unwrap()).collect()
    }

    /// Waits until node `index` has the virtual IP and no other node has.
    pub fn wait_vip(&self, index: usize) {
        let what = format!("only {} to have the virtual IP", self.nodes[index].name);
        wait::until(PATIENCE, &what, || {
            let mut hosts = self.hosts().into_iter().enumerate();
            hosts.all(|(at, host)| host.has(VIP) == (at == index)).then_some(())
        });
    }

    /// Waits until a client at the switch that asks the virtual IP is answered by the backend of
    /// node `index`.
    pub fn wait_answers_at_vip(&self, lan: &Lan, index: usize) {
        let mac = self.hosts()[index].mac();
        let what = format!("{} to answer at the virtual IP", self.nodes[index].name);
        wait::until(PATIENCE, &what, || {
            let answer = Http::at(SocketAddr::new(VIP, LAN_PORT), ASK_EVERY * 5).get("/version");
            let there = lan.neighbour(VIP).contains(&mac);
            (answer.is_ok_and(|(code, _)| code == 200) && there).then_some(())
        });
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
