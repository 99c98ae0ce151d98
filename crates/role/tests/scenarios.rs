//! Every scenario in `testdata/`: events in, the whole list of actions out, compared exactly.
//!
//! A line `at <ms> <event>` is an event; the indented lines after it are the phase and the
//! actions that must follow. `UPDATE_EXPECT=1 cargo test -p ccm-role` rewrites them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::time::Duration;

use ccm_role::{
    Action, Adopted, Command, CommandId, Config, Event, Handover, Leader, LossReason, Machine,
    OpId, Outcome, Verdict,
};
use ccm_types::{Epoch, Monotonic, NodeId, Position, Txid};

fn config(text: &str) -> Config {
    Config {
        node: NodeId::new("a").unwrap(),
        candidate: !text.contains("# not a candidate"),
        vip: text.contains("# with a virtual IP"),
        ttl: Duration::from_secs(10),
        stop: Duration::from_secs(1),
        stop_timeout: Duration::from_secs(30),
        start_timeout: Duration::from_secs(60),
        retry: Duration::from_millis(300),
        restarts_max: 3,
        restart_window: Duration::from_secs(600),
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("'{word}' is not a number"))
}

fn position(epoch: &str, txid: &str) -> Position {
    Position::new(Epoch::new(number(epoch)), Txid::new(number(txid)))
}

fn outcome(words: &[&str]) -> Outcome {
    match words {
        ["ok"] => Outcome::Ok,
        ["keep"] => Outcome::Compared(Verdict::Keep),
        ["swap"] => Outcome::Compared(Verdict::Swap),
        ["create"] => Outcome::Compared(Verdict::Create),
        ["at", epoch, txid] => Outcome::At(position(epoch, txid)),
        ["transient", why @ ..] => Outcome::Transient(why.join(" ")),
        ["permanent", why @ ..] => Outcome::Permanent(why.join(" ")),
        ["fenced"] => Outcome::Fenced,
        other => panic!("no outcome {other:?}"),
    }
}

fn command(words: &[&str]) -> Command {
    match words {
        ["demote"] => Command::Demote { successor: None },
        ["demote", to] => Command::Demote { successor: Some(NodeId::new(*to).unwrap()) },
        ["promote"] => Command::Promote,
        ["leave"] => Command::Leave,
        other => panic!("no command {other:?}"),
    }
}

fn won(epoch: &str, valid: &str, released: Option<u64>) -> Event {
    let (epoch, valid_until) = (Epoch::new(number(epoch)), Monotonic::from_millis(number(valid)));
    Event::LeaseWon { epoch, valid_until, released: released.map(Txid::new) }
}

fn handover(words: &[&str]) -> Handover {
    match words {
        ["ok"] => Handover::Done,
        ["refused", why @ ..] => Handover::Refused(why.join(" ")),
        ["unanswered", why @ ..] => Handover::Unanswered(why.join(" ")),
        other => panic!("no answer {other:?}"),
    }
}

fn event(words: &[&str], last: OpId) -> Event {
    let until = |word: &str| Monotonic::from_millis(number(word));
    match words {
        ["start"] => Event::Start { adopted: None, left: false },
        ["start", "left"] => Event::Start { adopted: None, left: true },
        ["start", "adopted", epoch, valid] => {
            let adopted = Adopted { epoch: Epoch::new(number(epoch)), valid_until: until(valid) };
            Event::Start { adopted: Some(adopted), left: false }
        }
        ["tick"] => Event::Tick,
        ["won", epoch, valid] => won(epoch, valid, None),
        ["won", epoch, valid, "released"] => won(epoch, valid, Some(0)),
        ["won", epoch, valid, "released", txid] => won(epoch, valid, Some(number(txid))),
        ["renewed", valid] => Event::LeaseRenewed { valid_until: until(valid) },
        ["lost", "expired"] => Event::LeaseLost(LossReason::Expired),
        ["lost", "superseded"] => Event::LeaseLost(LossReason::Superseded),
        ["released"] => Event::LeaseReleased,
        ["leader", "nobody"] => Event::LeaderSeen(None),
        ["leader", node, epoch] => Event::LeaderSeen(Some(Leader {
            node: NodeId::new(*node).unwrap(),
            epoch: Epoch::new(number(epoch)),
        })),
        ["done", "#", op, rest @ ..] => {
            Event::Done { op: OpId(number(op)), outcome: outcome(rest) }
        }
        ["done", rest @ ..] => Event::Done { op: last, outcome: outcome(rest) },
        ["exited", why @ ..] => Event::BackendExited { why: why.join(" ") },
        ["healthy"] => Event::BackendHealthy,
        ["unhealthy", why @ ..] => Event::BackendUnhealthy { why: why.join(" ") },
        ["capture", "fenced"] => Event::CaptureEnded { fenced: true, why: String::from("fenced") },
        ["capture", "ended"] => Event::CaptureEnded { fenced: false, why: String::from("gone") },
        ["command", id, rest @ ..] => {
            Event::Command { id: CommandId(number(id)), command: command(rest) }
        }
        ["handover", node, answer @ ..] => Event::HandoverAnswered {
            leader: NodeId::new(*node).unwrap(),
            answer: handover(answer),
        },
        ["shutdown"] => Event::Shutdown,
        other => panic!("no event {other:?}"),
    }
}

/// Runs the events of one scenario and writes it down with what came out.
fn play(text: &str) -> String {
    let mut machine = Machine::new(config(text));
    let mut last = OpId(0);
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        writeln!(out, "{line}").unwrap();
        let Some(rest) = line.strip_prefix("at ") else { continue };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let now = Monotonic::from_millis(number(words[0]));
        let actions = machine.step(now, event(&words[1..], last));
        writeln!(out, "    [{:?}]", machine.status().phase).unwrap();
        for action in actions {
            if let Action::Run { op, .. } = &action {
                assert!(*op > last, "operation ids grow");
                last = *op;
            }
            writeln!(out, "    {action:?}").unwrap();
        }
    }
    out
}

#[test]
fn every_scenario_gives_exactly_the_actions_written_down() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "the scenarios are there");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        expect_test::expect_file![&file].assert_eq(&play(&text));
    }
}

#[test]
fn a_node_that_saw_its_successor_while_it_fell_has_no_problem_when_it_follows() {
    let fall = "start; done ok; won 7 8800; done ok; done swap; done at 6 41; done ok; done ok; \
                done ok; lost expired; done ok; leader b 8; done fenced";
    let mut machine = Machine::new(config(""));
    let mut last = OpId(0);
    let mut step = |machine: &mut Machine, words: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        for action in machine.step(Monotonic::from_millis(100), event(&words, last)) {
            if let Action::Run { op, .. } = action {
                last = op;
            }
        }
    };
    fall.split(';').for_each(|words| step(&mut machine, words));
    assert_eq!(machine.status().phase, ccm_role::Phase::Falling);
    assert!(machine.status().problem.is_some(), "it falls and says why");
    step(&mut machine, "done ok");
    assert_eq!(machine.status().phase, ccm_role::Phase::Passive);
    assert_eq!(machine.status().problem, None);
}
