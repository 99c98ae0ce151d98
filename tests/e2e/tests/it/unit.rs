//! A backend that systemd runs: a whole node beside a real systemd.

use std::time::Instant;

use ccm_harness::processes::{self, Signal};
use ccm_harness::{Cluster, ClusterOptions, PATIENCE, UserSystemd, bin_dir, in_systemd, wait};
use serde_json::json;

use crate::machine::beside_others;

/// The unit.
const BACKEND: &str = "backend.service";

/// A node whose backend is the unit, with `more` in its file; the daemon is not started yet.
fn one_node(systemd: &UserSystemd, more: &str) -> Cluster {
    let cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    let node = &cluster.nodes[0];
    node.edit_config(|config| {
        let backend = config["backend"].as_object_mut().unwrap();
        backend.remove("command");
        backend.insert(String::from("kind"), json!("systemd"));
        backend.insert(String::from("serviceName"), json!("backend"));
        backend.insert(String::from("stopTimeoutMs"), json!(2000));
    });
    let (program, data) = (bin_dir().join("demo-backend"), node.data());
    let start = format!(
        "ExecStart={} --db {} --listen 127.0.0.1:{}",
        program.display(),
        data.display(),
        node.port
    );
    let install = "[Install]\nWantedBy=default.target\n";
    systemd.add_unit(BACKEND, &format!("[Service]\n{more}\n{start}\n{install}"));
    cluster
}

/// Whether the daemon's log has these words.
fn logged(cluster: &Cluster, words: &str) -> bool {
    std::fs::read_to_string(cluster.nodes[0].log()).unwrap_or_default().contains(words)
}

fn wait_logged(cluster: &Cluster, words: &str) {
    wait::until(PATIENCE, &format!("'{words}' in the log"), || {
        logged(cluster, words).then_some(())
    });
}

fn wait_problem(cluster: &Cluster, words: &str) {
    cluster.wait_status(0, words, |status| {
        status["problem"].as_str().is_some_and(|problem| problem.contains(words))
    });
}

/// The one backend that runs, when it is not `old`.
fn wait_another(cluster: &Cluster, old: i32) -> i32 {
    wait::until(PATIENCE, "another backend", || match cluster.nodes[0].backends()[..] {
        [pid] if pid != old && cluster.nodes[0].serves() => Some(pid),
        _ => None,
    })
}

fn wait_none(cluster: &Cluster) {
    wait::until(PATIENCE, "no backend", || cluster.nodes[0].backends().is_empty().then_some(()));
}

#[test]
fn a_unit_that_crashes_or_is_stopped_by_somebody_is_started_again_and_said() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        // systemd is slower than ccm.
        let mut cluster = one_node(systemd, "Restart=on-failure\nRestartSec=1h");
        cluster.nodes[0].start();
        // What fails before that is a start that is tried again.
        wait_logged(&cluster, "the backend serves");
        cluster.wait_status(0, "PRIMARY and well", |status| {
            status["role"] == "PRIMARY"
                && status["backendStatus"] == "running"
                && status["problem"].is_null()
        });

        let first = cluster.nodes[0].backends()[0];
        processes::signal(first, Signal::KILL);
        let second = wait_another(&cluster, first);
        wait_problem(&cluster, "the backend was restarted once within 10 minutes");

        systemd.systemctl(&["stop", BACKEND]);
        wait_another(&cluster, second);
        wait_problem(&cluster, "the backend was restarted 2 times within 10 minutes");

        let ended = cluster.nodes[0].terminate(PATIENCE);
        assert!(ended.success(), "{ended}");
        assert!(cluster.nodes[0].backends().is_empty());
        assert_eq!(systemd.systemctl(&["show", "-P", "ActiveState", BACKEND]), "inactive\n");
    });
}

#[test]
fn a_unit_that_something_else_starts_on_a_node_that_does_not_serve_is_ended() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let mut cluster = one_node(systemd, "");
        cluster.nodes[0].edit_config(|config| config["node"] = json!({ "candidate": false }));
        cluster.nodes[0].start();
        cluster.wait_status(0, "PASSIVE", |status| status["role"] == "PASSIVE");
        for _ in 0..3 {
            systemd.systemctl(&["start", BACKEND]);
            wait_none(&cluster);
            wait::until(PATIENCE, "the unit to be down", || {
                let state = systemd.systemctl(&["show", "-P", "ActiveState", BACKEND]);
                matches!(state.trim(), "inactive" | "failed").then_some(())
            });
        }
        wait_logged(&cluster, "something else has started the backend");
        // And its owner starts it as ever.
        cluster.nodes[0].ccm("promote", &[]).ok();
        cluster.wait_serving();
    });
}

#[test]
fn a_unit_that_a_boot_starts_is_refused_and_what_the_boot_has_started_is_ended() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let mut cluster = one_node(systemd, "");
        // The data of an earlier life, or the backend does not start by itself.
        cluster.nodes[0].start();
        cluster.wait_serving();
        cluster.nodes[0].terminate(PATIENCE);
        systemd.systemctl(&["enable", BACKEND]);
        systemd.systemctl(&["start", BACKEND]);
        cluster.nodes[0].start();
        let ended = wait::until(PATIENCE, "the daemon to end", || cluster.nodes[0].ended());
        assert_eq!(ended.code(), Some(64), "{}", cluster.logs());
        assert!(logged(&cluster, "backend.service is enabled, so every boot starts it"));
        assert!(logged(&cluster, "systemctl disable backend.service"));
        assert_eq!(systemd.systemctl(&["show", "-P", "ActiveState", BACKEND]), "inactive\n");

        cluster.nodes[0].edit_config(|config| config["backend"]["enabledUnit"] = json!("disable"));
        cluster.nodes[0].start();
        cluster.wait_serving();
        assert_eq!(systemd.systemctl(&["show", "-P", "UnitFileState", BACKEND]), "disabled\n");
        cluster.wait_status(0, "that all is well", |status| status["problem"].is_null());
    });
}

#[test]
fn a_unit_that_no_lease_covers_is_ended_while_nats_is_away() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let mut cluster = one_node(systemd, "");
        // The data of an earlier life, or the backend does not start by itself.
        cluster.nodes[0].start();
        cluster.wait_serving();
        cluster.nodes[0].terminate(PATIENCE);
        cluster.nats.kill();
        systemd.systemctl(&["start", BACKEND]);
        cluster.nodes[0].start();
        wait_none(&cluster);
        wait_logged(&cluster, "a backend runs that no lease covers");
        systemd.systemctl(&["start", BACKEND]);
        wait_logged(&cluster, "something else has started the backend");
        wait_none(&cluster);
        cluster.nats.restart();
        cluster.wait_serving();
    });
}

#[test]
fn a_daemon_that_waits_for_nats_keeps_the_deadline_when_its_guard_is_gone() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let mut cluster = one_node(systemd, "");
        cluster.nodes[0].edit_config(|config| {
            config["election"]["leaderTtlMs"] = json!(8000);
        });
        cluster.nodes[0].start();
        cluster.wait_serving();
        let backends = cluster.nodes[0].backends();
        cluster.nats.kill();
        cluster.nodes[0].kill_daemon();
        cluster.nodes[0].start();
        wait_logged(&cluster, "could not reach NATS");
        assert_eq!(cluster.nodes[0].backends(), backends, "{}", cluster.logs());
        let guards = cluster.nodes[0].processes();
        let guards = guards.iter().filter(|process| process.command.contains(" guard "));
        let killed = guards.map(|guard| processes::signal(guard.pid, Signal::KILL)).count();
        assert_eq!(killed, 1, "{}", cluster.logs());
        wait_none(&cluster);
        wait_logged(&cluster, "the lease ran out before NATS was reached");
    });
}

#[test]
fn a_unit_that_is_enabled_while_it_serves_is_a_problem_and_no_outage() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let mut cluster = one_node(systemd, "");
        cluster.nodes[0].start();
        cluster.wait_serving();
        let backends = cluster.nodes[0].backends();
        systemd.systemctl(&["enable", BACKEND]);
        cluster.nodes[0].kill_daemon();
        cluster.nodes[0].start();
        wait_problem(&cluster, "backend.service is enabled");
        cluster.wait_status(0, "PRIMARY", |status| status["role"] == "PRIMARY");
        assert_eq!(cluster.nodes[0].backends(), backends, "the backend was replaced");
    });
}

#[test]
fn a_unit_that_is_missing_or_masked_is_a_problem_before_a_takeover_needs_it() {
    let _machine = beside_others();
    in_systemd(&[("masked.service", "")], |systemd| {
        let mut cluster = one_node(systemd, "");
        for (name, words) in
            [("nobody", "systemd knows no unit nobody.service"), ("masked", "is masked")]
        {
            cluster.nodes[0].edit_config(|config| {
                config["backend"]["serviceName"] = json!(name);
                config["node"] = json!({ "candidate": false });
            });
            cluster.nodes[0].start();
            wait_problem(&cluster, words);
            cluster.nodes[0].terminate(PATIENCE);
        }
    });
}

#[test]
fn a_unit_that_does_not_start_says_why_with_its_last_lines() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let mut cluster = one_node(systemd, "ExecStartPre=/bin/sh -c 'echo no licence; exit 9'");
        cluster.nodes[0].start();
        wait_logged(&cluster, "a command beside its main process failed (ExecStartPre=");
        wait_logged(&cluster, "it wrote last: no licence");
    });
}

#[test]
fn a_unit_that_ignores_sigterm_is_killed_in_a_planned_stop() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let deaf = "TimeoutStopSec=1h\nKillSignal=SIGCONT";
        let mut cluster = one_node(systemd, deaf);
        cluster.nodes[0].start();
        cluster.wait_serving();
        let ended = cluster.nodes[0].terminate(PATIENCE);
        assert!(ended.success(), "{ended}\n{}", cluster.logs());
        assert!(cluster.nodes[0].backends().is_empty());
        assert!(logged(&cluster, "the backend had to be killed"), "{}", cluster.logs());
    });
}

#[test]
fn the_guard_ends_a_unit_without_a_daemon_and_without_a_bus() {
    let _machine = beside_others();
    in_systemd(&[], |systemd| {
        let mut cluster = one_node(systemd, "Restart=always\nRestartSec=0");
        cluster.nodes[0].start();
        cluster.wait_serving();
        let lease = cluster.lease_watch();
        let name = cluster.nodes[0].name.clone();
        wait::until(PATIENCE, "a renewal", || lease.last_by(&name, Instant::now()));
        systemd.systemctl(&["stop", "dbus.socket", "dbus.service"]);
        assert!(!systemd.answers());
        cluster.nodes[0].kill_daemon();
        let gone = wait::until(PATIENCE, "the backend to be gone", || {
            cluster.nodes[0].backends().is_empty().then(Instant::now)
        });
        let renewed = lease.last_by(&name, gone).unwrap().at;
        assert!(gone < renewed + cluster.options.ttl, "gone {:?} after", gone - renewed);
        // Restart= has not brought it back.
        let down = || systemd.systemctl(&["show", "-P", "ActiveState", BACKEND]);
        wait::until(PATIENCE, "the unit to be down", || {
            matches!(down().trim(), "inactive" | "failed").then_some(())
        });
        assert!(cluster.nodes[0].backends().is_empty());
    });
}
