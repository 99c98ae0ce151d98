//! What the demo plays on: a cluster, a load, somebody who keeps asking for the status, a view.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use ccm_harness::{
    Ack, Cluster, ClusterOptions, LeaseWatch, Node, OneBackend, Operator, Ran, Writer,
};
use serde_json::Value;

use super::Interrupted;
use super::view::View;

/// Writes a second.
const RATE: u32 = 300;
/// Clients that write.
const CLIENTS: u32 = 4;
/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between two rounds of asking every node for its status.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// When a step that should simply happen is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node last said of itself; `Null` before it has said anything.
type Statuses = Arc<Mutex<Vec<Value>>>;

/// The stage. Dropped, it stops and removes everything.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) writer: Option<Writer>,
    pub(super) one: OneBackend,
    pub(super) lease: LeaseWatch,
    pub(super) cluster: Cluster,
    pub(super) view: View,
    /// Acknowledged by writers that have ended.
    acknowledged: usize,
    statuses: Statuses,
    stop: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
    interrupted: Arc<AtomicBool>,
}

impl Stage {
    /// Starts NATS and every daemon.
    pub(super) fn open(ttl: Duration, nodes: usize, interrupted: Arc<AtomicBool>) -> Result<Self> {
        let options = ClusterOptions {
            id: String::from("demo"),
            nodes,
            ttl,
            heartbeat: ttl * 3 / 10,
            ..ClusterOptions::default()
        };
        let mut cluster = Cluster::prepare(options);
        let (one, lease) = (cluster.one_backend(), cluster.lease_watch());
        for node in &mut cluster.nodes {
            node.start();
        }
        let statuses: Statuses = Arc::new(Mutex::new(vec![Value::Null; nodes]));
        let stop = Arc::new(AtomicBool::new(false));
        let operators: Vec<Operator> = cluster.nodes.iter().map(Node::operator).collect();
        let (said, stopped) = (Arc::clone(&statuses), Arc::clone(&stop));
        let asking = std::thread::spawn(move || ask(&operators, &said, &stopped));
        Ok(Self {
            writer: None,
            one,
            lease,
            cluster,
            view: View::new(),
            acknowledged: 0,
            statuses,
            stop,
            asking: Some(asking),
            interrupted,
        })
    }

    /// Starts the load.
    pub(super) fn write(&mut self) {
        self.writer = Some(Writer::start(&self.cluster.ports(), "demo", CLIENTS, RATE));
    }

    /// Ends the load; everything it had acknowledged.
    pub(super) fn end_writes(&mut self) -> Vec<Ack> {
        let acks = self.writer.take().map(Writer::stop).unwrap_or_default();
        self.acknowledged += acks.len();
        acks
    }

    /// Writes acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged + self.writer.as_ref().map_or(0, Writer::acknowledged)
    }

    /// SIGKILLs everything a node runs; the moment before.
    pub(super) fn kill_host(&mut self, node: usize) -> Instant {
        let at = self.cluster.kill_host(node);
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)[node] = Value::Null;
        at
    }

    /// Gives a command on a node, drawing meanwhile.
    pub(super) fn command(&mut self, node: usize, verb: &'static str, to: usize) -> Result<Ran> {
        let (operator, to) = (self.cluster.nodes[node].operator(), self.name(to));
        let thread = std::thread::spawn(move || operator.ccm(verb, &["--to", &to]));
        self.wait("the command to end", |_| thread.is_finished().then_some(()))?;
        thread.join().map_err(|_| anyhow!("could not run ccm {verb}"))
    }

    /// The name of a node.
    pub(super) fn name(&self, node: usize) -> String {
        self.cluster.nodes[node].name.clone()
    }

    /// Says that something has happened.
    pub(super) fn say(&mut self, text: &str) {
        self.view.say(text);
        self.draw();
    }

    /// Looks until `look` gives a value, drawing meanwhile; fails on Ctrl-C and when nothing
    /// comes of it.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE + self.cluster.options.ttl * 3;
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Interrupted.into());
            }
            if let Some(value) = look(self) {
                return Ok(value);
            }
            if Instant::now() > deadline {
                self.close_view();
                bail!("waited in vain for {what}; the daemons say:\n{}", self.cluster.logs());
            }
            self.draw();
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Lets the load run until `more` further writes are acknowledged.
    pub(super) fn run_load(&mut self, seconds: u32) -> Result<()> {
        let goal = self.acknowledged() + (seconds * RATE) as usize;
        self.wait("acknowledged writes", |stage| (stage.acknowledged() >= goal).then_some(()))
    }

    /// Waits until `node` is passive and has everything the primary has shipped by then.
    pub(super) fn wait_follows(&mut self, node: usize, primary: usize) -> Result<()> {
        let what = format!("{} to follow", self.name(node));
        // Asked now, not taken from what was said a moment ago.
        let goal = self.wait("the primary's position", |stage| {
            let status = stage.cluster.nodes[primary].status();
            let shipped = stage.writer.is_some() || status["replicationLagMs"] == 0;
            status["txid"].as_u64().filter(|txid| shipped && *txid > 0)
        })?;
        self.wait(&what, |stage| {
            let own = &stage.statuses()[node];
            let reached = own["txid"].as_u64().is_some_and(|txid| txid >= goal);
            (own["role"] == "PASSIVE" && reached).then_some(())
        })
    }

    /// What the nodes last said of themselves.
    pub(super) fn statuses(&self) -> Vec<Value> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn draw(&mut self) {
        let names: Vec<String> = self.cluster.nodes.iter().map(|n| n.name.clone()).collect();
        let up: Vec<bool> =
            self.cluster.nodes.iter().map(|node| node.daemon_pid().is_some()).collect();
        let statuses = self.statuses();
        let acknowledged = self.acknowledged();
        self.view.draw(&names, &up, &statuses, acknowledged);
    }

    /// Leaves the terminal as it was.
    pub(super) fn close_view(&mut self) {
        self.view.close();
    }

    /// Stays up, under load, until Ctrl-C.
    pub(super) fn keep(&mut self) -> Result<()> {
        self.write();
        loop {
            let interrupted = || self.interrupted.load(Ordering::Relaxed);
            if interrupted() {
                self.close_view();
                return Err(Interrupted.into());
            }
            self.draw();
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Addresses, and commands worth trying.
    pub(super) fn what_to_try(&self) -> String {
        let ccm = ccm_harness::bin_dir().join("ccm");
        let mut lines = vec![String::from("Still running, still writing. Ctrl-C ends it.")];
        lines.push(format!("  NATS     {}", self.cluster.nats.url()));
        for node in &self.cluster.nodes {
            lines.push(format!("  {}   http://127.0.0.1:{}/count", node.name, node.port));
        }
        lines.push(String::from("In another terminal:"));
        let config = |node: usize| -> PathBuf { self.cluster.nodes[node].config() };
        let command = |verb: &str, node: usize| {
            format!("  {} {verb} --config {}", ccm.display(), config(node).display())
        };
        lines.push(command("status", 0));
        lines.push(format!("{} --to {}", command("switchover", 0), self.name(1)));
        lines.push(command("demote", 1));
        lines.push(format!("  tail -f {}", self.cluster.nodes[0].log().display()));
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.view.close();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(asking) = self.asking.take() {
            asking.join().ok();
        }
    }
}

/// Asks every node again and again, each for itself.
fn ask(operators: &[Operator], said: &Mutex<Vec<Value>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for (node, operator) in operators.iter().enumerate() {
            let ran = operator.status();
            // With the daemon down, what it prints is what NATS remembers of it.
            let status = if ran.code == Some(0) { ran.json() } else { Value::Null };
            said.lock().unwrap_or_else(PoisonError::into_inner)[node] = status;
        }
        std::thread::park_timeout(ASK_EVERY);
    }
}
