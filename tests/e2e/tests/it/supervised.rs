//! A daemon under a service manager: what it tells it, and that it takes a changed configuration.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use ccm_harness::processes::Signal;
use ccm_harness::{Cluster, ClusterOptions, Node, PATIENCE, wait};
use serde_json::json;

use crate::machine::beside_others;

/// A service manager that writes down what it is told.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Supervises the daemon of `node`, with a watchdog.
    fn of(node: &mut Node) -> Self {
        let path = node.dir.join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let variable = |name: &str, value: String| (String::from(name), value);
        node.env.push(variable("NOTIFY_SOCKET", path.display().to_string()));
        node.env.push(variable("WATCHDOG_USEC", String::from("3000000")));
        Self { socket, heard: Vec::new() }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 8192];
        while let Ok(read) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            self.heard.extend(text.lines().map(String::from));
        }
    }

    /// Waits until it hears a line with `words`; everything up to it is taken, and returned.
    fn wait(&mut self, words: &str) -> Vec<String> {
        wait::until(PATIENCE, &format!("the daemon to say {words:?}"), || {
            self.listen();
            let at = self.heard.iter().position(|line| line.contains(words))?;
            Some(self.heard.drain(..=at).collect())
        })
    }
}

/// A lease that outlives what the tests do to NATS and to the daemon.
fn one_node() -> Cluster {
    Cluster::prepare(ClusterOptions {
        nodes: 1,
        ttl: Duration::from_secs(10),
        heartbeat: Duration::from_secs(1),
        ..ClusterOptions::default()
    })
}

/// The variables of a process.
fn environment(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

#[test]
fn a_service_manager_is_told_when_it_serves_that_it_lives_and_that_it_ends() {
    let _machine = beside_others();
    let mut cluster = one_node();
    let mut manager = Manager::of(&mut cluster.nodes[0]);
    cluster.nodes[0].start();
    let before = manager.wait("READY=1");
    assert!(cluster.nodes[0].serves(), "ready before it serves: {before:?}");
    let serving = "STATUS=PRIMARY of epoch 1: serving";
    assert!(before.iter().any(|line| line == serving), "{before:?}");
    for _ in 0..3 {
        manager.wait("WATCHDOG=1");
    }

    // Neither the guard nor the backend could speak for the daemon.
    let backend = cluster.nodes[0].backends()[0];
    let others = cluster.nodes[0].processes().into_iter().map(|process| process.pid);
    let others: Vec<i32> =
        others.filter(|pid| Some(*pid) != cluster.nodes[0].daemon_pid()).collect();
    assert!(others.contains(&backend), "{others:?}");
    for pid in others {
        let environment = environment(pid);
        assert!(!environment.contains("NOTIFY_SOCKET"), "{environment}");
        assert!(!environment.contains("WATCHDOG_USEC"), "{environment}");
    }

    cluster.nats.kill();
    manager.wait("PROBLEM: NATS is not reachable");
    cluster.nats.restart();
    manager.wait(serving);

    let ended = cluster.nodes[0].terminate(PATIENCE);
    assert!(ended.success(), "{ended}");
    let before = manager.wait("STOPPING=1");
    assert!(!before.iter().any(|line| line == "READY=1"), "ready twice: {before:?}");
}

#[test]
fn a_daemon_that_waits_for_nats_has_started_and_says_what_it_waits_for() {
    let _machine = beside_others();
    let mut cluster = one_node();
    cluster.nats.kill();
    let mut manager = Manager::of(&mut cluster.nodes[0]);
    cluster.nodes[0].start();
    let before = manager.wait("READY=1");
    let status = before.iter().rfind(|line| line.starts_with("STATUS=")).unwrap();
    assert!(status.contains("could not reach NATS"), "{status}");
    for _ in 0..3 {
        manager.wait("WATCHDOG=1");
    }
    cluster.nats.restart();
    manager.wait("STATUS=PRIMARY of epoch 1: serving");
}

#[test]
fn a_daemon_that_hangs_gives_no_sign_of_life() {
    let _machine = beside_others();
    let mut cluster = one_node();
    let mut manager = Manager::of(&mut cluster.nodes[0]);
    cluster.nodes[0].start();
    manager.wait("STATUS=PRIMARY of epoch 1: serving");
    cluster.nodes[0].signal_daemon(Signal::STOP);
    manager.listen();
    manager.heard.clear();
    // Longer than the watchdog's patience: the silence is what is looked for.
    std::thread::park_timeout(Duration::from_secs(4));
    manager.listen();
    assert_eq!(manager.heard, Vec::<String>::new());
    cluster.nodes[0].signal_daemon(Signal::CONT);
    manager.wait("WATCHDOG=1");
}

#[test]
fn a_reload_takes_over_what_can_change_and_names_the_rest() {
    let _machine = beside_others();
    let mut cluster = one_node();
    let mut manager = Manager::of(&mut cluster.nodes[0]);
    cluster.nodes[0].edit_config(|config| {
        config["services"] = json!({ "a": { "port": 1001 }, "b": { "port": 1002 } });
    });
    cluster.nodes[0].start();
    manager.wait("READY=1");
    let node = &cluster.nodes[0];
    let offered = |expected: &[&str]| {
        wait::until(PATIENCE, &format!("the services {expected:?}"), || {
            let listed = node.ccm("services", &["list"]).out;
            let cells = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                format!("{}:{}", words[0], words[3])
            };
            (listed.lines().skip(1).map(cells).collect::<Vec<_>>() == expected).then_some(())
        });
    };
    offered(&["a:1001", "b:1002"]);

    node.edit_config(|config| {
        config["services"] = json!({ "b": { "port": 1003 }, "c": { "port": 1004 } });
        config["wal"]["snapshotIntervalMs"] = json!(1000);
        config["wal"]["streamRetention"] = json!("48h");
        config["backend"]["healthEndpoint"] = json!("off");
        config["log"] = json!({ "level": "debug" });
        config["election"]["leaderTtlMs"] = json!(4000);
        config["node"] = json!({ "candidate": false });
    });
    node.signal_daemon(Signal::HUP);
    let before = manager.wait("READY=1");
    assert!(before.iter().any(|line| line == "RELOADING=1"), "{before:?}");
    assert!(before.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{before:?}");
    offered(&["b:1003", "c:1004"]);
    let waiting = "changes of election.leaderTtlMs, node.candidate in the configuration wait for a \
                   restart of the daemon";
    manager.wait(waiting);
    assert_eq!(node.status()["problem"], waiting);
    let log = std::fs::read_to_string(node.log()).unwrap();
    let applied = "keys=\"wal.snapshotIntervalMs, wal.streamRetention, backend.healthEndpoint, \
                   services.a, services.b, services.c, log.level\"";
    assert!(log.contains(applied), "{log}");
    assert!(log.contains("keys=\"election.leaderTtlMs, node.candidate\""), "{log}");
    wait::until(PATIENCE, "the level debug", || node.log_tail().contains("DEBUG").then_some(()));
    let snapshots = || node.ccm("ltx", &["list", "--level", "9", "--json"]).out;
    let first = snapshots();
    wait::until(PATIENCE, "a snapshot by the new interval", || {
        // Nothing is snapshotted twice.
        let writer = cluster.writer("one", 10);
        cluster.wait_acknowledged(&writer, 1);
        drop(writer.stop());
        (snapshots() != first).then_some(())
    });

    // A file that is wrong changes nothing.
    let correct = std::fs::read(node.config()).unwrap();
    node.edit_config(|config| {
        config["services"] = json!({ "d": { "port": 1005 } });
        config["election"]["leaderTtlMs"] = json!("ten");
    });
    node.signal_daemon(Signal::HUP);
    manager.wait("READY=1");
    let tail = node.log_tail();
    assert!(tail.contains("was not taken over"), "{tail}");
    assert!(tail.contains("election.leaderTtlMs must be a whole number"), "{tail}");
    // The commands read the file, too.
    std::fs::write(node.config(), correct).unwrap();
    offered(&["b:1003", "c:1004"]);
    std::fs::remove_file(node.config()).unwrap();
    node.signal_daemon(Signal::HUP);
    manager.wait("READY=1");
    assert!(node.log_tail().contains("could not read the configuration"), "{}", node.log_tail());
    assert!(node.serves());
}

#[test]
fn a_node_that_follows_goes_on_with_what_a_reload_has_changed() {
    let _machine = beside_others();
    let cluster = Cluster::start(ClusterOptions::default());
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    let node = &cluster.nodes[1 - first];
    node.edit_config(|config| config["wal"]["divergedMaxBytes"] = json!(12_345));
    node.signal_daemon(Signal::HUP);
    cluster.wait_status(1 - first, "to have the new bound", |status| {
        status["diverged"]["maxBytes"] == 12_345
    });
    let writer = cluster.writer("followed", 50);
    cluster.wait_acknowledged(&writer, 50);
    let acks = writer.stop();
    cluster.switchover(first, 1 - first).ok();
    cluster.wait_serves(1 - first);
    let rows = cluster.rows(1 - first, &acks);
    assert!(rows.lost(&acks, first, std::time::Instant::now()).acks.is_empty());
}
