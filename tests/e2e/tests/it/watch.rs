//! `ccm watch` in a real terminal.

use std::sync::atomic::{AtomicU32, Ordering};

use ccm_harness::{Cluster, ClusterOptions, PATIENCE, Terminal, bin_dir, processes, wait};
use serde_json::json;

use crate::machine::beside_others;

/// The command that watches from a node, and says how it ended.
fn command(cluster: &Cluster, index: usize) -> String {
    let (ccm, config) = (bin_dir().join("ccm"), cluster.nodes[index].config());
    format!("{} watch -c {}; echo ended with $?", ccm.display(), config.display())
}

/// How the terminal is set up, and whether it shows its own screen with a cursor.
fn state(terminal: &Terminal) -> [String; 2] {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Each answer has a number: what is on the screen may be an earlier one.
    let end = format!("told {}", ASKED.fetch_add(1, Ordering::Relaxed));
    terminal.enter(&format!("clear; stty -a; echo {end}"));
    let screen = terminal.wait_screen(|screen| screen.contains(&format!("\n{end}\n$")));
    let settings = screen.split("told").next().unwrap_or_default();
    let [alternate, cursor] = ["alternate_on", "cursor_flag"].map(|name| terminal.value(name));
    [String::from(settings), format!("{alternate} {cursor}")]
}

#[test]
fn a_failover_is_watched_on_a_terminal_which_is_then_as_it_was() {
    let _turn = beside_others();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let first = cluster.wait_serving();
    let other = 1 - first;
    cluster.wait_follows(other);
    let [led, follows] = [first, other].map(|index| cluster.nodes[index].name.clone());
    let terminal = Terminal::start(80, 24);
    let before = state(&terminal);
    assert_eq!(before[1], "0 1", "its own screen, with a cursor");
    terminal.enter(&command(&cluster, other));
    let says = |name: &str| format!("{name} is PRIMARY and serves");
    let screen = terminal.wait_screen(|screen| screen.contains(&says(&led)));
    assert_eq!(terminal.value("alternate_on"), "1", "{screen}");
    terminal.wait_screen(|screen| screen.contains("until it is free unless renewed"));
    println!("{}", terminal.coloured());

    cluster.kill_host(first);
    terminal.wait_screen(|screen| screen.contains(&says(&follows)));
    let silent = format!("{led} has fallen silent");
    terminal.wait_screen(|screen| screen.contains(&silent) && screen.contains("until it ends"));
    println!("{}", terminal.coloured());
    terminal.press("Up");
    terminal.press("Tab");
    terminal.wait_screen(|screen| screen.contains("[2 This node]") && screen.contains("epoch 2"));
    println!("{}", terminal.coloured());
    terminal.press("4");
    terminal.wait_screen(|screen| screen.contains("failover") && screen.contains("[4 History]"));
    println!("{}", terminal.coloured());
    terminal.press("?");
    terminal.wait_screen(|screen| screen.contains("Keys and signs"));
    terminal.press("q");
    terminal.wait_screen(|screen| screen.contains("ended with 0"));
    assert_eq!(state(&terminal), before);
}

#[test]
fn a_signal_ends_it_and_nats_that_is_away_is_said() {
    let _turn = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    let terminal = Terminal::start(80, 24);
    let before = state(&terminal);
    cluster.nats.kill();
    terminal.enter(&command(&cluster, 0));
    terminal.wait_screen(|screen| screen.contains("could not reach NATS at"));
    println!("{}", terminal.coloured());
    cluster.nats.restart();
    let no_daemon = "no daemon of node-1 is connected to NATS";
    terminal.wait_screen(|screen| screen.contains(no_daemon));
    cluster.nats.kill();
    terminal.wait_screen(|screen| screen.contains("NATS is not reachable"));

    let config = cluster.nodes[0].config().display().to_string();
    let watching = || {
        let all = processes::under(cluster.dir()).into_iter();
        all.filter(|one| one.command.contains(&config)).map(|one| one.pid).next()
    };
    let pid = wait::until(PATIENCE, "the process that watches", watching);
    processes::signal(pid, processes::Signal::TERM);
    terminal.wait_screen(|screen| screen.contains("ended with 0"));
    assert_eq!(state(&terminal), before);
    // Control and C is a key while it draws, and ends it as well.
    terminal.enter(&command(&cluster, 0));
    terminal.wait_screen(|screen| screen.contains("not reach NATS at"));
    terminal.press("C-c");
    terminal.wait_screen(|screen| screen.contains("ended with 0"));
    assert_eq!(state(&terminal), before);
}

#[test]
fn without_a_terminal_it_says_so_and_changes_nothing() {
    let cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    let ran = cluster.nodes[0].ccm("watch", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{}", ran.err);
    assert!(ran.err.contains("there is none here: use ccm status"), "{}", ran.err);
    let ran = cluster.nodes[0].ccm("watch", &["--json"]);
    assert_eq!((ran.code, &ran.json()["exitCode"]), (Some(64), &json!(64)), "{}", ran.err);
}
