//! What is shown of a cluster, as text: looks go in, words come out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::fmt::Write as _;

use ccm_control::{DivergedStatus, VipStatus};
use ccm_types::{RoleName, Txid};
use ccm_view::{Board, Part, Shown, Told};
use expect_test::{Expect, expect};
use world::{START, World, later, node, services, status};

/// More on the line before.
fn note(text: &mut String, note: &str) {
    if !note.is_empty() {
        writeln!(text, "    {note}").unwrap();
    }
}

/// Everything but the lags over time.
fn text(shown: &Shown) -> String {
    let mut text = String::new();
    let cell = |cell: &ccm_view::Cell| format!("{} {}", cell.severity.sign(), cell.words);
    writeln!(text, "{}", cell(&shown.headline)).unwrap();
    for notice in &shown.notices {
        writeln!(text, "! {}", cell(notice)).unwrap();
    }
    let lease = &shown.lease;
    let left = lease.left_ms.map_or_else(|| String::from("?"), |ms| ms.to_string());
    writeln!(text, "Lease: {} {left} of {}", lease.words, lease.of_ms).unwrap();
    for fact in &shown.facts {
        writeln!(text, "{}: {} {}", fact.label, fact.severity.sign(), fact.words).unwrap();
        note(&mut text, &fact.note);
    }
    for row in &shown.nodes {
        let own = if row.own { "*" } else { "" };
        let cells = [&row.role, &row.backend, &row.txid, &row.lag, &row.heard].map(cell);
        writeln!(text, "{}{own} | {}", row.node, cells.join(" | ")).unwrap();
        note(&mut text, &row.note);
    }
    if !shown.services.notice.is_empty() {
        writeln!(text, "Services: {}", shown.services.notice).unwrap();
    }
    for row in &shown.services.rows {
        let health = cell(&row.health);
        writeln!(text, "{} {} {} {health}", row.service, row.node, row.endpoint).unwrap();
    }
    writeln!(text, "History: {}", shown.events.notice).unwrap();
    for row in &shown.events.rows {
        let kind = cell(&row.kind);
        writeln!(text, "{} ({}) {} {kind}: {}", row.at, row.ago, row.node, row.words).unwrap();
    }
    text
}

fn check(board: &Board, ms: u64, expected: &Expect) {
    let (at, now) = later(ms);
    expected.assert_eq(&text(&board.shown(at, now)));
}

#[test]
fn a_primary_shows_itself_and_who_follows() {
    let mut world = World::new("node-1");
    world.look(0, Told::Whole(Box::new(status("node-1", 0))));
    check(
        &world.board,
        0,
        &expect![[r#"
            ● node-1 is PRIMARY and serves
            Lease: until it ends unless renewed 8200 of 10000
            Leader: ● node-1
                for 6 min, since 2026-03-04 05:00:07Z, epoch 7
            Role: ● PRIMARY
            Backend: ● running
                for 5 min
            TXID: · 1042
                the last transaction that NATS has
            Lag: ● 0 ms
                age of the oldest commit that NATS lacks, 0 B in all
            Virtual IP: ● held here
                10.0.1.100/24
            NATS: ● connected
                10.0.1.10:4222
            node-1* | ● PRIMARY | ● running | · 1042 | ● 0 ms | ● just now
            node-2 | · PASSIVE | · stopped | · 1042 | ● 12 ms | ● just now
            Services: No service is announced
            History: No event is known
        "#]],
    );
}

#[test]
fn a_passive_node_shows_who_leads_and_when_the_lease_would_be_free() {
    let mut world = World::new("node-2");
    world.look(0, Told::Whole(Box::new(status("node-2", 0))));
    check(
        &world.board,
        0,
        &expect![[r#"
            ● node-1 is PRIMARY and serves
            Lease: until it is free unless renewed 9100 of 10000
            Leader: ● node-1
                for 6 min, since 2026-03-04 05:00:07Z, epoch 7
            Role: · PASSIVE
            Backend: · stopped
            TXID: · 1042
                the last transaction in the replica
            Lag: ● 12 ms
                behind what NATS has
            Virtual IP: · not held here
                10.0.1.100/24
            NATS: ● connected
                10.0.1.10:4222
            node-1 | ● PRIMARY | ● running | · 1042 | ● 0 ms | ● just now
            node-2* | · PASSIVE | · stopped | · 1042 | ● 12 ms | ● just now
            Services: No service is announced
            History: No event is known
        "#]],
    );
}

#[test]
fn without_nats_what_others_do_is_unknown_and_what_they_said_has_an_age() {
    let mut world = World::new("node-2");
    world.look(0, Told::Whole(Box::new(status("node-2", 0))));
    for second in 1..=12 {
        let mut away = status("node-2", second * 1000);
        away.nats.connected = false;
        away.nodes.clear();
        away.problem = Some(String::from("NATS is not reachable"));
        world.services = Err(String::from("NATS is not reachable"));
        world.look(second * 1000, Told::Whole(Box::new(away)));
    }
    check(
        &world.board,
        12_000,
        &expect![[r#"
            ? It is not known who leads
            ! ✖ NATS is not reachable from node-2, seen for 11 s: what the others do is not known
            Lease: not known here ? of 10000
            Leader: ? unknown
                node-1 when NATS was there, epoch 7
            Role: · PASSIVE
            Backend: · stopped
            TXID: · 1042
                the last transaction in the replica
            Lag: ? unknown
                what NATS has by now is not known
            Virtual IP: · not held here
                10.0.1.100/24
            NATS: ✖ not reachable
            node-1 | ? unknown | ? unknown | ? unknown | ? unknown | ? 12 s ago
                last said PRIMARY, backend running, TXID 1042, lag 0 ms
            node-2* | · PASSIVE | · stopped | · 1042 | ? unknown | ● just now
                NATS is not reachable
            Services: Not known at present: NATS is not reachable
            History: No event is known
        "#]],
    );
}

#[test]
fn a_primary_without_nats_serves_until_its_lease_ends() {
    let mut world = World::new("node-1");
    world.look(0, Told::Whole(Box::new(status("node-1", 0))));
    let mut away = status("node-1", 3000);
    (away.nats.connected, away.lease_remaining_ms) = (false, Some(4_200));
    away.nodes.clear();
    away.problem = Some(String::from("NATS is not reachable"));
    (away.replication_lag_ms, away.unshipped_bytes) = (2_950, 40_960);
    world.services = Err(String::from("NATS is not reachable"));
    world.look(3000, Told::Whole(Box::new(away)));
    check(
        &world.board,
        3500,
        &expect![[r#"
            ✖ node-1 is PRIMARY and serves until its lease ends: no NATS
            ! ✖ NATS is not reachable from node-1, seen for 0 s: what the others do is not known
            Lease: until it ends unless renewed 3700 of 10000
            Leader: ● node-1
                for 6 min, since 2026-03-04 05:00:07Z, epoch 7
            Role: ● PRIMARY
            Backend: ● running
                for 5 min
            TXID: · 1042
                the last transaction that NATS has
            Lag: ▲ 2.9 s
                age of the oldest commit that NATS lacks, 40.0 KiB in all
            Virtual IP: ● held here
                10.0.1.100/24
            NATS: ✖ not reachable
            node-1* | ● PRIMARY | ● running | · 1042 | ▲ 2.9 s | ● just now
                NATS is not reachable
            node-2 | ? unknown | ? unknown | ? unknown | ? unknown | ? 3 s ago
                last said PASSIVE, backend stopped, TXID 1042, lag 12 ms
            Services: Not known at present: NATS is not reachable
            History: No event is known
        "#]],
    );
}

#[test]
fn a_server_that_hangs_makes_the_others_unknown_as_well() {
    let mut world = World::new("node-2");
    world.look(0, Told::Whole(Box::new(status("node-2", 0))));
    let mut hangs = status("node-2", 2000);
    hangs.nodes.clear();
    world.look(2000, Told::Whole(Box::new(hangs)));
    check(
        &world.board,
        2000,
        &expect![[r#"
            ? It is not known how node-1 is, who leads
            ! ▲ NATS does not tell what the nodes say: what the others do is not known
            Lease: until it is free unless renewed 9100 of 10000
            Leader: ● node-1
                for 6 min, since 2026-03-04 05:00:07Z, epoch 7
            Role: · PASSIVE
            Backend: · stopped
            TXID: · 1042
                the last transaction in the replica
            Lag: ? unknown
                what NATS has by now is not known
            Virtual IP: · not held here
                10.0.1.100/24
            NATS: ● connected
                10.0.1.10:4222
            node-1 | ? unknown | ? unknown | ? unknown | ? unknown | ? 2 s ago
                last said PRIMARY, backend running, TXID 1042, lag 0 ms
            node-2* | · PASSIVE | · stopped | · 1042 | ? unknown | ● just now
            Services: No service is announced
            History: No event is known
        "#]],
    );
}

#[test]
fn a_node_that_falls_silent_is_named_before_and_after_nats_forgets_it() {
    let mut world = World::new("node-2");
    world.look(0, Told::Whole(Box::new(status("node-2", 0))));
    for second in 1..=40 {
        let mut alone = status("node-2", second * 1000);
        // node-1 has died at the start: its record stays for ten seconds.
        alone.nodes[0].last_seen = START.to_string();
        if second > 10 {
            alone.nodes.remove(0);
        }
        world.look(second * 1000, Told::Whole(Box::new(alone)));
        if second == 5 {
            let (at, now) = later(5000);
            let shown = world.board.shown(at, now);
            assert_eq!(shown.headline.words, "node-1 is PRIMARY and serves");
        }
    }
    check(
        &world.board,
        40_000,
        &expect![[r#"
            ✖ node-1 leads, and is not heard of (last 40 s ago)
            ! ✖ node-1 has fallen silent: last heard of 40 s ago
            Lease: until it is free unless renewed 9100 of 10000
            Leader: ● node-1
                for 6 min, since 2026-03-04 05:00:07Z, epoch 7
            Role: · PASSIVE
            Backend: · stopped
            TXID: · 1042
                the last transaction in the replica
            Lag: ● 12 ms
                behind what NATS has
            Virtual IP: · not held here
                10.0.1.100/24
            NATS: ● connected
                10.0.1.10:4222
            node-1 | ? unknown | ? unknown | ? unknown | ? unknown | ✖ 40 s ago
                last said PRIMARY, backend running, TXID 1042, lag 0 ms
            node-2* | · PASSIVE | · stopped | · 1042 | ● 12 ms | ● just now
            Services: No service is announced
            History: No event is known
        "#]],
    );
}

#[test]
fn a_node_that_ends_in_order_is_not_one_that_falls_silent() {
    let mut world = World::new("node-1");
    for second in 0..30 {
        let mut told = status("node-1", second * 1000);
        if second > 3 {
            told.nodes.remove(1);
        }
        world.look(second * 1000, Told::Whole(Box::new(told)));
    }
    let (at, now) = later(29_000);
    let shown = world.board.shown(at, now);
    let notices: Vec<&str> = shown.notices.iter().map(|one| one.words.as_str()).collect();
    let ended = "node-2: its daemon ended 26 s ago, in order";
    assert_eq!(notices, [ended, "no other node follows: there is nobody to take over"]);
    // It is back.
    world.look(30_000, Told::Whole(Box::new(status("node-1", 30_000))));
    let (at, now) = later(30_000);
    assert!(world.board.shown(at, now).notices.is_empty());
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let mut world = World::new("node-1");
    let mut wrong = status("node-1", 0);
    wrong.backend_status = String::from("unhealthy");
    wrong.problem = Some(String::from("the backend answered 500"));
    wrong.vip = Some(VipStatus { address: String::from("10.0.1.100/24"), held: false });
    wrong.diverged = DivergedStatus { count: 2, bytes: 3 << 20, ..DivergedStatus::default() };
    wrong.replication_lag_ms = 12_500;
    wrong.not_eligible = Some(String::from("node.candidate is false"));
    wrong.nodes[1].problem = Some(String::from("the disk is full"));
    wrong.nodes[1].backend_status = String::from("running");
    wrong.nodes[1].replication_lag_ms = 4_000;
    world.look(0, Told::Whole(Box::new(wrong)));
    check(
        &world.board,
        0,
        &expect![[r#"
            ✖ node-1 is PRIMARY, its backend is unhealthy
            ! ▲ node-1: the backend answered 500
            ! ▲ node-2: the disk is full
            Lease: until it ends unless renewed 8200 of 10000
            Leader: ● node-1
                for 6 min, since 2026-03-04 05:00:07Z, epoch 7
            Role: ● PRIMARY
            Backend: ✖ unhealthy
                for 5 min
            TXID: · 1042
                the last transaction that NATS has
            Lag: ✖ 12.5 s
                age of the oldest commit that NATS lacks, 0 B in all
            Virtual IP: ✖ NOT held although PRIMARY
                10.0.1.100/24
            NATS: ● connected
                10.0.1.10:4222
            Candidate: ▲ would not take over
                node.candidate is false
            Set aside: ▲ 2 data files, 3.0 MiB
                may hold what the cluster does not have: ccm diverged list
            node-1* | ● PRIMARY | ✖ unhealthy | · 1042 | ✖ 12.5 s | ● just now
                the backend answered 500; 2 data files set aside
            node-2 | · PASSIVE | ✖ running | · 1042 | ▲ 4.0 s | ● just now
                the disk is full
            Services: No service is announced
            History: No event is known
        "#]],
    );
}

#[test]
fn a_node_that_has_not_reached_nats_knows_only_its_backend() {
    let mut world = World::new("node-1");
    world.services = Err(String::from("NATS is not reachable"));
    let problem = String::from("NATS was not reached yet at nats://10.0.1.10:4222");
    let backend = Some((String::from("stopped"), 0));
    world.look(0, Told::Part(Box::new(Part { problem, backend, ..Part::default() })));
    check(
        &world.board,
        0,
        &expect![[r#"
            ? It is not known who leads
            ! ✖ NATS is not reachable from node-1, seen for 0 s: what the others do is not known
            ! ✖ node-1: NATS was not reached yet at nats://10.0.1.10:4222
            Lease: not known here ? of 10000
            Leader: ? unknown
            Role: ? unknown
            Backend: · stopped
            TXID: ? unknown
            Lag: ? unknown
            Virtual IP: ? unknown
            NATS: ✖ not reachable
            node-1* | ? unknown | · stopped | ? unknown | ? unknown | ? unknown
            Services: Not known at present: NATS is not reachable
            History: No event is known
        "#]],
    );
}

#[test]
fn a_daemon_that_does_not_answer_leaves_what_nats_knows() {
    let mut world = World::new("node-1");
    let said = status("node-1", 0);
    let leader = ccm_view::PartLeader {
        node: said.leader.clone(),
        epoch: said.epoch,
        since: said.leader_since.clone(),
    };
    let part = Part {
        problem: String::from("no daemon of node-1 is connected to NATS"),
        connected: true,
        backend: None,
        leader: Some(leader),
        nodes: Some(said.nodes),
    };
    world.look(0, Told::Part(Box::new(part)));
    check(
        &world.board,
        0,
        &expect![[r#"
            ✖ node-1 leads, and its daemon does not answer
            ! ✖ node-1: no daemon of node-1 is connected to NATS
            Lease: not known here ? of 10000
            Leader: ● node-1
                for 6 min, since 2026-03-04 05:00:07Z, epoch 7
            Role: ? unknown
            Backend: ? unknown
            TXID: ? unknown
            Lag: ? unknown
            Virtual IP: ? unknown
            NATS: ● connected
            node-1* | ? unknown | ? unknown | ? unknown | ? unknown | ✖ does not answer
                last said PRIMARY, backend running, TXID 1042, lag 0 ms
            node-2 | · PASSIVE | · stopped | · 1042 | ● 12 ms | ● just now
            Services: No service is announced
            History: No event is known
        "#]],
    );
}

#[test]
fn nobody_leads_and_two_who_say_they_do() {
    let mut world = World::new("node-2");
    let mut nobody = status("node-2", 0);
    (nobody.leader, nobody.leader_since) = (None, None);
    nobody.nodes.remove(0);
    (nobody.txid, nobody.replication_lag_ms) = (Txid::ZERO, 0);
    world.look(0, Told::Whole(Box::new(nobody)));
    let (at, now) = later(0);
    let shown = world.board.shown(at, now);
    assert_eq!(shown.headline.words, "Nobody leads");
    // Before the first transaction nothing is known of the position and the lag.
    assert_eq!(
        (shown.nodes[0].txid.words.as_str(), shown.nodes[0].lag.words.as_str()),
        ("unknown", "unknown")
    );
    let mut two = status("node-1", 1000);
    two.nodes[1].role = RoleName::Primary;
    let mut world = World::new("node-1");
    world.look(1000, Told::Whole(Box::new(two)));
    let (at, now) = later(1000);
    let notices = world.board.shown(at, now).notices;
    assert!(notices.iter().any(|n| n.words == "node-1 and node-2 say that they are PRIMARY"));
}

#[test]
fn a_wrong_clock_of_another_node_neither_hides_silence_nor_invents_it() {
    let mut world = World::new("node-2");
    for second in 0..30 {
        let mut skewed = status("node-2", second * 1000);
        // An hour behind: what is new in NATS is new all the same.
        let (_, then) = later(second * 1000);
        let hour = jiff::SignedDuration::from_hours(1);
        skewed.nodes[0].last_seen = (then - hour).to_string();
        world.look(second * 1000, Told::Whole(Box::new(skewed)));
    }
    let (at, now) = later(29_000);
    let shown = world.board.shown(at, now);
    assert_eq!(shown.nodes[0].role.words, "PRIMARY");
    assert_eq!(shown.nodes[0].heard.words, "just now");
}

#[test]
fn a_look_that_has_become_old_says_how_old() {
    let mut world = World::new("node-1");
    world.look(0, Told::Whole(Box::new(status("node-1", 0))));
    let (at, now) = later(7_000);
    let shown = world.board.shown(at, now);
    assert_eq!((shown.age_ms, shown.lease.left_ms), (7_000, Some(1_200)));
    let (at, now) = later(60_000);
    assert_eq!(world.board.shown(at, now).lease.left_ms, Some(0));
}

#[test]
fn nodes_that_come_and_go_are_not_remembered_without_end() {
    let mut world = World::new("node-1");
    for round in 0..40 {
        let mut crowd = status("node-1", round * 1000);
        for number in 0..20 {
            let mut one = crowd.nodes[1].clone();
            one.node_id = node(&format!("n{round}-{number}"));
            crowd.nodes.push(one);
        }
        world.look(round * 1000, Told::Whole(Box::new(crowd)));
    }
    let (at, now) = later(40_000);
    let shown = world.board.shown(at, now);
    assert!(shown.nodes.len() <= 65 && shown.lag.series.len() <= 8);
    assert!(shown.notices.len() <= 12, "{}", shown.notices.len());
    // After an hour of silence they are forgotten.
    world.look(3_700_000, Told::Whole(Box::new(status("node-1", 3_700_000))));
    let (at, now) = later(3_700_000);
    assert_eq!(world.board.shown(at, now).nodes.len(), 2);
}

#[test]
fn services_and_history_say_when_they_are_not_up_to_date() {
    let mut world = World::new("node-1");
    world.services = Ok(services());
    let event = |at: &str, kind: &str, message: &str| {
        let event = serde_json::json!({
            "at": at, "node": "node-2", "kind": kind, "message": message,
        });
        serde_json::from_value(event).unwrap()
    };
    world.events = Ok(vec![
        event("2026-03-04T05:00:00Z", "role", "node-2 is PRIMARY"),
        event("2026-03-04T05:06:04.250Z", "nats-outage", "NATS was away for 4 s"),
    ]);
    world.look(0, Told::Whole(Box::new(status("node-1", 0))));
    world.services = Err(String::from("NATS has not told the services within 2s"));
    world.events = Err(String::from("NATS is not reachable"));
    world.look(1000, Told::Whole(Box::new(status("node-1", 1000))));
    let (at, now) = later(1000);
    let shown = text(&world.board.shown(at, now));
    let from = shown.find("Services").unwrap();
    expect![[r#"
        Services: Not known at present: NATS has not told the services within 2s
        http node-1 10.0.1.10:3210 ? unknown, was passing
        http node-2 10.0.1.11:3210 ? unknown, was standby
        History: Newer events may be missing: NATS is not reachable
        2026-03-04 05:06:04Z (3 s ago) node-2 ▲ nats outage: NATS was away for 4 s
        2026-03-04 05:00:00Z (6 min ago) node-2 · role: node-2 is PRIMARY
    "#]]
    .assert_eq(&shown[from..]);
}

#[test]
fn the_json_is_what_the_page_reads() {
    let mut world = World::new("node-1");
    world.services = Ok(services());
    world.look(0, Told::Whole(Box::new(status("node-1", 0))));
    let (at, now) = later(500);
    let json = serde_json::to_string_pretty(&world.board.shown(at, now)).unwrap();
    expect_test::expect_file!["../../testdata/shown.json"].assert_eq(&json);
}
