//! What is drawn, on screens of several sizes.

use ccm_control::{DivergedStatus, NatsStatus, NodeStatus, Status, VipStatus};
use ccm_types::{ClusterId, Epoch, Monotonic, NodeId, RoleName, Txid};
use ccm_view::{Board, Look, Shown, Subject, Told};
use crossterm::event::{KeyCode, KeyEvent};
use expect_test::{Expect, expect};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::choice::Choice;
use super::draw::draw;

const START: &str = "2026-03-04T05:06:07Z";

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn later(ms: u64) -> (Monotonic, Timestamp) {
    let start: Timestamp = START.parse().unwrap();
    (Monotonic::from_millis(1_000_000 + ms), start + std::time::Duration::from_millis(ms))
}

fn said(name: &str, role: RoleName, ms: u64) -> NodeStatus {
    let leads = role == RoleName::Primary;
    NodeStatus {
        node_id: node(name),
        role,
        backend_status: String::from(if leads { "running" } else { "stopped" }),
        txid: Txid::new(1042),
        replication_lag_ms: if leads { 0 } else { 12 },
        last_seen: later(ms).1.to_string(),
        diverged_files: 0,
        diverged_bytes: 0,
        problem: None,
    }
}

/// What node-2 says: node-1 leads.
fn status(ms: u64) -> Status {
    Status {
        cluster_id: ClusterId::new("convex-prod").unwrap(),
        node_id: node("node-2"),
        role: RoleName::Passive,
        leader: Some(node("node-1")),
        epoch: Some(Epoch::new(7)),
        lease_remaining_ms: None,
        leader_since: Some(String::from("2026-03-04T05:00:07Z")),
        lease_free_in_ms: Some(9_100),
        backend_status: String::from("stopped"),
        backend_uptime_seconds: 0,
        txid: Txid::new(1042),
        replication_lag_ms: 12,
        unshipped_bytes: 0,
        vip: Some(VipStatus { address: String::from("10.0.1.100/24"), held: false }),
        nats: NatsStatus { connected: true, server: String::from("10.0.1.10:4222") },
        diverged: DivergedStatus::default(),
        not_eligible: None,
        problem: None,
        nodes: vec![said("node-1", RoleName::Primary, ms), said("node-2", RoleName::Passive, ms)],
    }
}

fn board() -> Board {
    let cluster = ClusterId::new("convex-prod").unwrap();
    Board::new(Subject { cluster, node: node("node-2"), ttl_ms: 10_000 })
}

fn look(board: &mut Board, ms: u64, status: Status) {
    let (at, now) = later(ms);
    let service = |node: &str, health: &str| {
        let record = serde_json::json!({
            "app": "convex-prod", "name": "http", "node": node, "address": "10.0.1.10",
            "port": 3210, "protocol": "http", "health": health, "tags": ["api", "public"],
            "registeredAt": START, "updatedAt": START,
        });
        serde_json::from_value(record).unwrap()
    };
    let connected = status.nats.connected;
    let services = vec![service("node-1", "passing"), service("node-2", "standby")];
    let event = serde_json::json!({
        "at": "2026-03-04T05:00:07Z", "node": "node-1", "kind": "failover", "epoch": 7,
        "message": "node-1 took over from node-2, which had fallen silent, in 3.4 s",
    });
    board.note(Look {
        at,
        now,
        told: Told::Whole(Box::new(status)),
        services: if connected { Ok(services) } else { Err(String::from("NATS is away")) },
        events: Ok(vec![serde_json::from_value(event).unwrap()]),
    });
}

/// A minute with a burst of lag.
fn watched() -> Board {
    let mut board = board();
    for second in 0..60 {
        let mut told = status(second * 1000);
        told.replication_lag_ms = if (30..40).contains(&second) { 40 * (second - 29) } else { 12 };
        look(&mut board, second * 1000, told);
    }
    board
}

fn screen(size: (u16, u16), shown: &Shown, choice: &Choice) -> String {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, shown, choice)).unwrap();
    terminal.backend().to_string()
}

/// The screen after some keys.
fn check(board: &Board, ms: u64, keys: &[KeyCode], expected: &Expect) {
    let (at, now) = later(ms);
    let shown = board.shown(at, now);
    let mut choice = Choice::default();
    for key in keys {
        choice.press(KeyEvent::from(*key), &shown);
    }
    expected.assert_eq(&screen((80, 24), &shown, &choice));
}

#[test]
fn a_healthy_cluster() {
    check(
        &watched(),
        59_200,
        &[],
        &expect![[r#"
            "convex-prod as node-2 sees it                                               live"
            "● node-1 is PRIMARY and serves                                                  "
            "[1 Cluster] 2 This node  3 Services  4 History                                  "
            "Lease  █████████████████░░░ 8.9 s until it is free unless renewed, of 10.0 s    "
            "                                                                                "
            "  NODE           ROLE      BACKEND     TXID         LAG        HEARD            "
            "  node-1         ● PRIMARY ● running   · 1042       ● 0 ms     ● just now       "
            "> node-2 *       · PASSIVE · stopped   · 1042       ● 12 ms    ● just now       "
            "                                                                                "
            "node-2: it tells of no problem                                                  "
            "                                                                                "
            "Lag of node-2: 12 ms   (the last 1 min while watched, up to 500 ms)             "
            "                                                                                "
            "                                                                                "
            "                                                     ▆                          "
            "                                                   ▇▇█                          "
            "                                                 ▁████                          "
            "                                               ▂▂█████                          "
            "                                              ▃███████                          "
            "                                             ▄████████                          "
            "                                           ▅▅█████████                          "
            "                                          ▆███████████                          "
            " ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▇████████████▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂"
            "q quit  tab panels  ↑↓ choose  ? help                                           "
        "#]],
    );
}

#[test]
fn the_panel_of_this_node() {
    check(
        &watched(),
        59_200,
        &[KeyCode::Tab],
        &expect![[r#"
        "convex-prod as node-2 sees it                                               live"
        "● node-1 is PRIMARY and serves                                                  "
        " 1 Cluster [2 This node] 3 Services  4 History                                  "
        "Leader      ● node-1                                                            "
        "              for 6 min, since 2026-03-04 05:00:07Z, epoch 7                    "
        "Role        · PASSIVE                                                           "
        "Backend     · stopped                                                           "
        "TXID        · 1042                                                              "
        "              the last transaction in the replica                               "
        "Lag         ● 12 ms                                                             "
        "              behind what NATS has                                              "
        "Virtual IP  · not held here                                                     "
        "              10.0.1.100/24                                                     "
        "NATS        ● connected                                                         "
        "              10.0.1.10:4222                                                    "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "q quit  tab panels  ↑↓ choose  ? help                                           "
    "#]],
    );
}

#[test]
fn the_panel_of_the_services() {
    check(
        &watched(),
        59_200,
        &[KeyCode::Char('3')],
        &expect![[r#"
        "convex-prod as node-2 sees it                                               live"
        "● node-1 is PRIMARY and serves                                                  "
        " 1 Cluster  2 This node [3 Services] 4 History                                  "
        "SERVICE      NODE         ADDRESS                PROTO  HEALTH         TAGS     "
        "http         node-1       10.0.1.10:3210         http   ● passing      api, publ"
        "http         node-2       10.0.1.10:3210         http   · standby      api, publ"
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "q quit  tab panels  ↑↓ choose  ? help                                           "
    "#]],
    );
}

#[test]
fn the_panel_of_the_history() {
    check(
        &watched(),
        59_200,
        &[KeyCode::Char('4')],
        &expect![[r#"
        "convex-prod as node-2 sees it                                               live"
        "● node-1 is PRIMARY and serves                                                  "
        " 1 Cluster  2 This node  3 Services [4 History]                                 "
        "▲ failover  2026-03-04 05:00:07Z (6 min ago), told by node-1                    "
        "  node-1 took over from node-2, which had fallen silent, in 3.4 s               "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "                                                                                "
        "q quit  tab panels  ↑↓ choose  ? help                                           "
    "#]],
    );
}

#[test]
fn the_help() {
    check(
        &watched(),
        59_200,
        &[KeyCode::Char('?')],
        &expect![[r#"
        "convex-prod as node-2 sees it                                               live"
        "● node-1 is PRIMARY and serves                                                  "
        "[1 Cluster] 2 This node  3 Services  4 History                                  "
        "Lease  █████████████████░░░ 8.9 s until it is free unless renewed, of 10.0 s    "
        "                                                                                "
        "  NODE           ROLE      BACKEND     TXID         LAG        HEARD            "
        "  node-1┌ Keys and signs ──────────────────────────────────────────────┐w       "
        "> node-2│q, Ctrl-C       quit                                          │w       "
        "        │tab, ← →, 1-4   the other panels                              │        "
        "node-2: │↑ ↓, k j        choose a node, move a list                    │        "
        "        │PgUp PgDn, g G  move a list by pages, to its ends             │        "
        "Lag of n│?               this; any key closes it                       │        "
        "        │                                                              │        "
        "        │● as it is to be   ▲ worth a look   ✖ somebody should act     │        "
        "        │? not known: what is old is not shown as if it were new       │        "
        "        │                                                              │        "
        "        │The same in a browser: port 8080 of every node                │        "
        "        └──────────────────────────────────────────────────────────────┘        "
        "                                              ▃███████                          "
        "                                             ▄████████                          "
        "                                           ▅▅█████████                          "
        "                                          ▆███████████                          "
        " ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▇████████████▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂"
        "q quit  tab panels  ↑↓ choose  ? help                                           "
    "#]],
    );
}

#[test]
fn without_nats_the_others_are_unknown() {
    let mut board = watched();
    for second in 60..75 {
        let mut away = status(second * 1000);
        away.nats.connected = false;
        away.nodes.clear();
        away.problem = Some(String::from("NATS is not reachable"));
        look(&mut board, second * 1000, away);
    }
    check(
        &board,
        74_000,
        &[KeyCode::Up],
        &expect![[r#"
            "convex-prod as node-2 sees it                                               live"
            "? It is not known who leads                                                     "
            "✖ NATS is not reachable from node-2, seen for 14 s: what the others do is not   "
            "  known                                                                         "
            "[1 Cluster] 2 This node  3 Services  4 History                                  "
            "Lease  ? not known here                                                         "
            "                                                                                "
            "  NODE           ROLE      BACKEND     TXID         LAG        HEARD            "
            "> node-1         ? unknown ? unknown   ? unknown    ? unknown  ? 15 s ago       "
            "  node-2 *       · PASSIVE · stopped   · 1042       ? unknown  ● just now       "
            "                                                                                "
            "node-1: last said PRIMARY, backend running, TXID 1042, lag 0 ms                 "
            "                                                                                "
            "Lag of node-1: unknown   (the last 2 min while watched, up to 500 ms)           "
            "                                                                                "
            "                                                                                "
            "                                                                                "
            "                                                                                "
            "                                                                                "
            "                                                                                "
            "                                                                                "
            "                                                                                "
            "                              ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁??????????"
            "q quit  tab panels  ↑↓ choose  ? help                                           "
        "#]],
    );
}

#[test]
fn a_look_that_has_become_old_is_called_old() {
    let (at, now) = later(80_000);
    let drawn = screen((80, 24), &watched().shown(at, now), &Choice::default());
    assert!(drawn.lines().next().unwrap().contains("OLD: looked 21 s ago"), "{drawn}");
}

#[test]
fn no_screen_is_too_small_and_no_word_of_a_peer_is_obeyed() {
    let mut told = status(0);
    told.problem = Some(String::from("a\u{1b}[2Jb, and more words than one line has room for"));
    let mut board = board();
    look(&mut board, 0, told);
    let (at, now) = later(0);
    let shown = board.shown(at, now);
    for width in [1, 2, 7, 40, 80, 300] {
        for height in [1, 2, 5, 10, 24, 100] {
            for help in [false, true] {
                let choice = Choice { help, ..Choice::default() };
                let drawn = screen((width, height), &shown, &choice);
                assert!(!drawn.contains('\u{1b}'), "{width} {height}");
            }
        }
    }
}
