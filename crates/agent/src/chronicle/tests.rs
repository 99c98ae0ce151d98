//! The machine is run, and what the chronicle makes of it is read.

use std::time::Duration;

use ccm_election::Held;
use ccm_role::{Config, Leader, Machine, Verdict};
use ccm_types::{NodeId, Position, Txid};

use super::*;

/// When the lease that is won ends, after it was won.
const VALID: u64 = 9000;

struct Node {
    machine: Machine,
    chronicle: Chronicle,
    now: u64,
    free: bool,
    win: Option<Win>,
    asked: Vec<(OpId, Operation)>,
    told: Vec<Entry>,
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn wall(now: u64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + i64::try_from(now).unwrap()).unwrap()
}

impl Node {
    /// Node `a`, started at 0.
    fn start(candidate: bool, vip: bool) -> Self {
        let config = Config {
            node: node("a"),
            candidate,
            vip,
            ttl: Duration::from_secs(10),
            stop: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(60),
            retry: Duration::from_millis(300),
            restarts_max: 3,
            restart_window: Duration::from_secs(600),
        };
        let mut node = Self {
            machine: Machine::new(config),
            chronicle: Chronicle::new(candidate),
            now: 0,
            free: false,
            win: None,
            asked: Vec::new(),
            told: Vec::new(),
        };
        node.step(Event::Start { adopted: None, left: false });
        node.run(10);
        node
    }

    fn step(&mut self, event: Event) {
        let at = Moment { now: Monotonic::from_millis(self.now), wall: wall(self.now) };
        self.chronicle.event(&event, self.win.as_ref(), at);
        for action in self.machine.step(at.now, event) {
            self.chronicle.action(&action, at);
            if let Action::Run { op, operation } = action {
                self.asked.push((op, operation));
            }
        }
        self.told.extend(self.chronicle.settle(&self.machine.status(), self.free, at));
    }

    /// Ends the operation that was asked for first, after so many milliseconds.
    fn end(&mut self, took: u64, outcome: Outcome) -> Operation {
        self.now += took;
        let (op, operation) = self.asked.remove(0);
        self.step(Event::Done { op, outcome });
        operation
    }

    /// Everything that is asked for succeeds, one after another.
    fn run(&mut self, took: u64) {
        while let Some((_, operation)) = self.asked.first() {
            let outcome = if *operation == Operation::Compare {
                Outcome::Compared(Verdict::Swap)
            } else if matches!(operation, Operation::CatchUp | Operation::Flush) {
                Outcome::At(Position::new(Epoch::new(4), Txid::new(42)))
            } else {
                Outcome::Ok
            };
            self.end(took, outcome);
        }
    }

    /// Wins epoch 5 at 11120, which `b` had last written at 1000.
    fn win(&mut self, released: bool) {
        self.now = 11_120;
        let before = Held {
            node: node("b"),
            epoch: Epoch::new(4),
            address: String::new(),
            released,
            txid: None,
        };
        self.win = Some(Win {
            epoch: Epoch::new(5),
            before: Some(before),
            last_sign: Monotonic::from_millis(1000),
            claimed: Monotonic::from_millis(11_100),
        });
        let valid_until = Monotonic::from_millis(self.now + VALID);
        self.step(Event::LeaseWon { epoch: Epoch::new(5), valid_until, released: None });
    }

    /// The sentences since the last time.
    fn said(&mut self) -> Vec<String> {
        let sentence = |entry: Entry| entry.what.message(&node("a"), entry.epoch);
        std::mem::take(&mut self.told).into_iter().map(sentence).collect()
    }
}

#[test]
fn a_failover_is_told_with_its_parts() {
    let mut node = Node::start(true, true);
    let leader = Leader { node: self::node("b"), epoch: Epoch::new(4) };
    node.step(Event::LeaderSeen(Some(leader)));
    assert_eq!(node.said(), ["a is PASSIVE: started"]);
    node.win(false);
    node.run(10);
    assert!(node.told.iter().all(|entry| entry.epoch == Some(Epoch::new(5))));
    assert_eq!(
        node.said(),
        [
            "a is PRIMARY: primary of epoch 5: the backend serves",
            "a took over from b, which had fallen silent, and serves after 10.1 s: \
             detection 10.1 s, lease 20 ms, fence 10 ms, comparison 10 ms, catch-up 10 ms, swap \
             10 ms, capture 10 ms, virtual IP 10 ms, backend start 20 ms",
        ]
    );
}

#[test]
fn a_takeover_waits_for_the_virtual_ip_and_has_the_time_at_which_it_served() {
    let mut node = Node::start(true, true);
    node.win(true);
    while !matches!(node.asked.first(), Some((_, Operation::AcquireVip { .. }))) {
        let compares = node.asked[0].1 == Operation::Compare;
        let outcome = if compares { Outcome::Compared(Verdict::Create) } else { Outcome::Ok };
        node.end(1, outcome);
    }
    node.asked.swap(0, 1);
    assert_eq!(node.end(100, Outcome::Ok), Operation::StartBackend);
    let served = node.now;
    assert_eq!(node.machine.status().phase, Phase::Primary);
    node.said();
    node.end(400, Outcome::Ok);
    assert_eq!((node.told.len(), node.told[0].at), (1, wall(served)));
    let said = node.said().concat();
    assert!(said.starts_with("a took the leadership over that b gave away and serves"), "{said}");
    assert!(said.ends_with("virtual IP 500 ms, backend start 100 ms"), "{said}");
}

#[test]
fn a_planned_move_is_told_by_the_one_who_gives_it_away() {
    let mut node = Node::start(true, true);
    node.win(false);
    node.run(10);
    node.said();
    let command = Command::Demote { successor: Some(self::node("b")) };
    node.step(Event::Command { id: CommandId(1), command });
    node.run(10);
    node.now += 7;
    node.step(Event::LeaseReleased);
    // The other one is faster than the files.
    let leader = Leader { node: self::node("b"), epoch: Epoch::new(6) };
    node.step(Event::LeaderSeen(Some(leader)));
    node.run(10);
    assert!(node.told.iter().all(|entry| entry.epoch == Some(Epoch::new(5))));
    assert_eq!(
        node.said(),
        [
            "a is PASSIVE: demoted from epoch 5: an operator asked for a move to b",
            "a gave the leadership of epoch 5 away to b within 37 ms, because an operator asked \
             for a move to b: virtual IP off 10 ms, backend stop 20 ms, flush 10 ms, release 7 ms, \
             replica 10 ms",
        ]
    );
}

#[test]
fn a_candidate_that_cannot_use_the_lease_says_why_and_lets_others_try() {
    let mut node = Node::start(true, false);
    node.win(false);
    node.end(10, Outcome::Ok);
    let why = "the bucket does not lead anywhere";
    node.end(10, Outcome::Permanent(String::from(why)));
    node.run(10);
    node.step(Event::LeaseReleased);
    node.run(10);
    let said = node.said();
    assert_eq!(
        said[1],
        format!(
            "a won the lease and could not serve: {why}: detection 10.1 s, lease 20 ms, fence \
             10 ms, comparison 10 ms"
        )
    );
    assert_eq!(said[2], format!("a is PASSIVE: demoted from epoch 5: {why}"));
    assert_eq!(said.len(), 3, "{said:?}");
    // The lease is free, and this node does not take it.
    node.free = true;
    node.step(Event::Tick);
    node.step(Event::Tick);
    let expected = format!(
        "the lease is free and a does not take it: it could not serve a short while ago and lets \
         others try first: {why}"
    );
    assert_eq!(node.said(), [expected]);
}

#[test]
fn a_node_that_is_no_candidate_says_so_every_time_that_the_lease_is_free() {
    let mut node = Node::start(false, false);
    let status = node.machine.status();
    let why = "node.candidate is false in its configuration";
    assert_eq!(node.chronicle.not_eligible(&status).as_deref(), Some(why));
    node.said();
    for free in [true, true, false, true] {
        node.free = free;
        node.step(Event::Tick);
    }
    let expected = format!("the lease is free and a does not take it: {why}");
    assert_eq!(node.said(), [expected.clone(), expected]);
    let mut candidate = Node::start(true, false);
    assert_eq!(candidate.chronicle.not_eligible(&candidate.machine.status()), None);
    candidate.free = true;
    candidate.step(Event::Tick);
    assert_eq!(candidate.said(), ["a is PASSIVE: started"]);
}

#[test]
fn a_backend_that_is_restarted_is_no_change_of_role() {
    let mut node = Node::start(true, false);
    node.win(false);
    node.run(10);
    node.said();
    node.step(Event::BackendExited { why: String::from("exit status 1") });
    node.run(10);
    let failed = "the backend of a is restarted: it has ended by itself: exit status 1";
    assert_eq!(node.said(), [failed, "the backend of a serves again"]);
}

#[test]
fn an_operator_who_is_refused_finds_why_and_the_end_of_the_daemon_is_told() {
    let mut node = Node::start(true, false);
    node.step(Event::Command { id: CommandId(1), command: Command::Leave });
    node.step(Event::Command { id: CommandId(2), command: Command::Promote });
    node.said();
    node.step(Event::Command { id: CommandId(3), command: Command::Promote });
    let why = "this node has left the cluster: run ccm join first";
    assert_eq!(node.said(), [format!("a was told to become PRIMARY and did not: {why}")]);
    node.step(Event::Shutdown);
    assert_eq!(node.said(), ["a is PASSIVE: the daemon is ending"]);
}

#[test]
fn a_lease_that_is_lost_is_a_change_of_role_with_its_reason() {
    let mut node = Node::start(true, false);
    node.win(false);
    node.run(10);
    node.said();
    node.now += 1;
    node.step(Event::LeaseLost(ccm_role::LossReason::Superseded));
    node.run(10);
    let fell = "a is PASSIVE: fell from epoch 5: the lease of epoch 5 was lost: Superseded";
    assert_eq!(node.said(), [fell]);
}
