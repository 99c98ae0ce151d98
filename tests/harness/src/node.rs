//! One node: a folder with a configuration, a daemon over it, and its backend's port.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::processes::{self, NODE_DIR, Process, Signal};
use crate::{Host, Http, bin_dir, bound, wait};

/// How long a probe of a backend may take.
const PROBE_WITHIN: Duration = Duration::from_secs(1);
/// Lines of a daemon's log that are shown when a test fails.
const LOG_TAIL: usize = 60;

/// What a command of ccm printed and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Panics with everything that was printed when the exit code is not 0.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Standard output as JSON; `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or(Value::Null)
    }
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its node ID.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// The port of its backend.
    pub port: u16,
    /// Where it is, when not on this machine's own network.
    pub host: Option<Host>,
    /// Variables of the daemon's environment, by name and value.
    pub env: Vec<(String, String)>,
    daemon: Option<Child>,
}

impl Node {
    pub(crate) fn new(name: String, dir: PathBuf, port: u16, host: Option<Host>) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        Self { name, dir, port, host, env: Vec::new(), daemon: None }
    }

    /// Its own address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address).into()
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }

    /// The file the backend serves.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data.db")
    }

    /// The file a passive node follows into.
    #[must_use]
    pub fn replica(&self) -> PathBuf {
        self.dir.join("replica.db")
    }

    /// What the daemon logs, through all its lives.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let skip = text.lines().count().saturating_sub(LOG_TAIL);
        text.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// Changes the configuration file.
    pub fn edit_config(&self, edit: impl FnOnce(&mut Value)) {
        let mut config = serde_json::from_slice(&std::fs::read(self.config()).unwrap()).unwrap();
        edit(&mut config);
        self.write_config(&config);
    }

    pub(crate) fn write_config(&self, config: &Value) {
        std::fs::write(self.config(), serde_json::to_vec_pretty(config).unwrap()).unwrap();
    }

    /// Starts the daemon; it dies with the calling thread. Does not wait for anything.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "{} runs", self.name);
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut daemon = ccm_on(self.host.as_ref());
        daemon.arg("daemon").arg("--config").arg(self.config()).env(NODE_DIR, self.dir.join(""));
        daemon.envs(self.env.iter().cloned());
        let mut daemon = bound(&daemon);
        daemon.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // A group of its own: Ctrl-C in the terminal is for the harness, which stops daemons.
        std::os::unix::process::CommandExt::process_group(&mut daemon, 0);
        self.daemon = Some(daemon.spawn().unwrap());
    }

    /// The daemon's process id while it was started and not ended by this harness.
    #[must_use]
    pub fn daemon_pid(&self) -> Option<i32> {
        self.daemon.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// The exit status of a daemon that has ended by itself, once.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.daemon.as_mut()?.try_wait().unwrap()?;
        self.daemon = None;
        Some(status)
    }

    /// Sends a signal to the daemon only.
    pub fn signal_daemon(&self, signal: Signal) {
        if let Some(pid) = self.daemon_pid() {
            processes::signal(pid, signal);
        }
    }

    /// SIGKILLs the daemon only; guard and backend stay.
    pub fn kill_daemon(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERMs the daemon and waits until it has ended.
    pub fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal_daemon(Signal::TERM);
        wait::until(within, &format!("the daemon of {} to end", self.name), || self.ended())
    }

    /// SIGKILLs daemon, guard, backend and whatever else the node runs: the loss of the host.
    pub fn kill_host(&mut self) {
        processes::kill_all_under(&self.dir);
        self.kill_daemon();
    }

    /// Everything the node runs.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        processes::under(&self.dir)
    }

    /// The process ids of the node's backends: one when it serves, else none.
    #[must_use]
    pub fn backends(&self) -> Vec<i32> {
        let dir = format!("{}/", self.dir.display());
        processes::pids().into_iter().filter(|pid| processes::is_backend(*pid, &dir)).collect()
    }

    /// Whether the node's backend answers.
    #[must_use]
    pub fn serves(&self) -> bool {
        let answer =
            Http::at(SocketAddr::new(self.address(), self.port), PROBE_WITHIN).get("/version");
        answer.is_ok_and(|(code, _)| code == 200)
    }

    /// GETs JSON from the node's backend.
    #[must_use]
    pub fn get(&self, path: &str, within: Duration) -> Option<Value> {
        let (code, body) =
            Http::at(SocketAddr::new(self.address(), self.port), within).get(path).ok()?;
        (code == 200).then(|| serde_json::from_str(&body).ok())?
    }

    /// Runs `ccm VERB --config … ARGS` and waits for its end.
    #[must_use]
    pub fn ccm(&self, verb: &str, args: &[&str]) -> Ran {
        self.operator().ccm(verb, args)
    }

    /// `ccm status --json`; `Null` when it prints no JSON.
    #[must_use]
    pub fn status(&self) -> Value {
        self.operator().status().json()
    }

    /// Somebody who gives commands on this node, from any thread.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator { dir: self.dir.clone(), config: self.config(), host: self.host.clone() }
    }
}

/// Somebody who gives commands on one node.
#[derive(Debug, Clone)]
pub struct Operator {
    dir: PathBuf,
    config: PathBuf,
    host: Option<Host>,
}

impl Operator {
    /// Runs `ccm VERB --config … ARGS` and waits for its end.
    #[must_use]
    pub fn ccm(&self, verb: &str, args: &[&str]) -> Ran {
        let mut ccm = ccm_on(self.host.as_ref());
        ccm.arg(verb).arg("--config").arg(&self.config).args(args).stdin(Stdio::null());
        run(ccm.env(NODE_DIR, self.dir.join("")))
    }

    /// `ccm status --json`.
    #[must_use]
    pub fn status(&self) -> Ran {
        self.ccm("status", &["--json"])
    }

    /// Starts a `ccm VERB --config … ARGS` that goes on by itself; it dies with the calling
    /// thread. Its standard error goes to `VERB.err` in the node's folder.
    #[must_use]
    pub fn start_ccm(&self, verb: &str, args: &[&str]) -> Child {
        let mut ccm = ccm_on(self.host.as_ref());
        ccm.arg(verb).arg("--config").arg(&self.config).args(args);
        ccm.env(NODE_DIR, self.dir.join(""));
        let mut ccm = bound(&ccm);
        let said = File::create(self.dir.join(format!("{verb}.err"))).unwrap();
        ccm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }
}

/// ccm without arguments, on a host.
fn ccm_on(host: Option<&Host>) -> Command {
    let ccm = bin_dir().join("ccm");
    host.map_or_else(|| Command::new(&ccm), |host| host.command(&ccm))
}

/// Runs a command and waits for its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|e| panic!("could not start {command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A port that nobody listens on, outside the range the kernel gives to outgoing connections, so
/// that it is still free when the backend wants it.
pub(crate) fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    for _ in 0..10_000 {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = 20_000 + offset;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 29999")
}
