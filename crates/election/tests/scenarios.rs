//! Every scenario in `testdata/`: inputs in, the whole step out, compared exactly.
//!
//! The machine is node `a`, instance `a1`, with a ttl of 10 s and a heartbeat of 3 s: a lease is
//! valid for 8700 ms from its send, a silent holder is replaced after 10100 ms.
//!
//! A line `at <ms> <input>` is an input (answers go to the last request, or to the one named by
//! `#<id>` at the end); the indented lines after it are what must come out, and when the next
//! tick is due. `UPDATE_EXPECT=1 cargo test -p ccm-election --test scenarios` rewrites them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ccm_election::{
    Adoption, Campaign, Change, Input, Lease, LeaseConfig, LeaseRecord, ReadOutcome, Request,
    RequestId, Revision, Timing, WriteOutcome,
};
use ccm_types::{Epoch, Monotonic, NodeId, Txid};

const TTL: u64 = 10_000;

fn config(script: &str) -> LeaseConfig {
    let after = |words| script.lines().find_map(|line| line.strip_prefix(words)).map_or(0, number);
    LeaseConfig {
        node: node("a"),
        instance: String::from("a1"),
        address: String::from("10.0.0.1"),
        timing: Timing { ttl: Duration::from_millis(TTL), heartbeat: Duration::from_secs(3) },
        priority_delay: Duration::from_millis(after("waits longer by ")),
        floor: Epoch::new(after("knows of epoch ")),
    }
}

fn node(word: &str) -> NodeId {
    NodeId::new(word).unwrap()
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("'{word}' is not a number"))
}

/// `<node> <instance> epoch <e>`, then any of `ttl <ms>`, `released`, `to <node>`.
fn record(words: &[&str]) -> LeaseRecord {
    let [holder, instance, "epoch", epoch, rest @ ..] = words else {
        panic!("no record {words:?}")
    };
    let after = |name: &str| {
        let at = rest.iter().position(|word| *word == name)?;
        rest.get(at + 1).copied()
    };
    LeaseRecord {
        node_id: node(holder),
        epoch: Epoch::new(number(epoch)),
        instance: String::from(*instance),
        ttl_ms: after("ttl").map_or(TTL, number),
        address: String::from(if *holder == "a" { "10.0.0.1" } else { "10.0.0.9" }),
        acquired_at: String::from("then"),
        released: rest.contains(&"released"),
        txid: None,
        successor: after("to").map(node),
    }
}

fn found(revision: u64, record: Option<LeaseRecord>) -> ReadOutcome {
    ReadOutcome::Found { revision: Revision(revision), record }
}

fn read(words: &[&str]) -> ReadOutcome {
    match words {
        ["failed"] => ReadOutcome::Failed,
        ["nothing"] => found(0, None),
        ["deleted", revision] => found(number(revision), None),
        [revision, rest @ ..] => found(number(revision), Some(record(rest))),
        [] => panic!("what was read?"),
    }
}

fn input(words: &[&str], last: RequestId) -> Input {
    let (words, id) = match words {
        [words @ .., id] if id.starts_with('#') => (words, RequestId(number(&id[1..]))),
        words => (words, last),
    };
    let written = |outcome| Input::Written { id, outcome };
    match words {
        ["tick"] => Input::Tick,
        ["hint"] => Input::Hint,
        ["campaign", "on"] => Input::Campaign(Campaign::On),
        ["campaign", "off"] => Input::Campaign(Campaign::Off),
        ["release", txid] => Input::Release { txid: Txid::new(number(txid)), successor: None },
        ["release", txid, "to", to] => {
            Input::Release { txid: Txid::new(number(txid)), successor: Some(node(to)) }
        }
        ["adopt", instance, "epoch", epoch, "until", until] => Input::Adopt(Adoption {
            epoch: Epoch::new(number(epoch)),
            instance: String::from(*instance),
            valid_until: Monotonic::from_millis(number(until)),
        }),
        ["read", rest @ ..] => Input::Read { id, outcome: read(rest) },
        ["stored", revision] => written(WriteOutcome::Stored(Revision(number(revision)))),
        ["refused"] => written(WriteOutcome::Refused),
        ["unsent"] => written(WriteOutcome::NotSent),
        ["unanswered"] => written(WriteOutcome::NoAnswer),
        other => panic!("no input {other:?}"),
    }
}

fn show_record(record: &LeaseRecord) -> String {
    let LeaseRecord { node_id, epoch, instance, ttl_ms, address, acquired_at, .. } = record;
    let mut text = format!("{node_id} {instance} epoch {epoch} ttl {ttl_ms} {address}");
    if !acquired_at.is_empty() {
        write!(text, " acquired {acquired_at}").unwrap();
    }
    if record.released {
        write!(text, " released at {}", record.txid.unwrap()).unwrap();
    }
    if let Some(successor) = &record.successor {
        write!(text, " to {successor}").unwrap();
    }
    text
}

fn show_change(change: &Change) -> String {
    match change {
        Change::Won { epoch, valid_until, adopted, released } => {
            let how = match (adopted, released) {
                (true, _) => "adopted",
                (false, Some(_)) => "won the released",
                (false, None) => "won",
            };
            format!("{how} epoch {epoch} until {valid_until}")
        }
        Change::Renewed { valid_until } => format!("renewed until {valid_until}"),
        Change::Lost(why) => format!("lost: {why:?}"),
        Change::Released => String::from("released"),
        Change::Leader(None) => String::from("leader: nobody"),
        Change::Leader(Some(held)) => {
            let released = if held.released { ", released" } else { "" };
            format!("leader: {} epoch {}{released}", held.node, held.epoch)
        }
    }
}

fn play(script: &str) -> String {
    let mut lease = Lease::new(config(script));
    let mut last = RequestId(0);
    let mut out = String::new();
    for line in script.lines().filter(|line| !line.starts_with(' ')) {
        writeln!(out, "{line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["at", ms, rest @ ..] = words.as_slice() else { continue };
        let now = Monotonic::from_millis(number(ms));
        let step = lease.step(now, input(rest, last));
        for change in &step.changes {
            writeln!(out, "    {}", show_change(change)).unwrap();
        }
        for request in &step.requests {
            match request {
                Request::Read { id, .. } => {
                    last = *id;
                    writeln!(out, "    read #{}", id.0).unwrap();
                }
                Request::Write { id, expected, record, .. } => {
                    last = *id;
                    let record = show_record(record);
                    writeln!(out, "    write #{} if {}: {record}", id.0, expected.0).unwrap();
                }
            }
        }
        assert!(lease.next_deadline() > now, "a tick that is due at once at '{line}'");
        writeln!(out, "    next {}", lease.next_deadline()).unwrap();
    }
    out
}

#[test]
fn every_scenario_gives_exactly_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = std::fs::read_to_string(&path).unwrap();
        expect_test::expect_file![path].assert_eq(&play(&script));
        played += 1;
    }
    assert!(played >= 20, "only {played} scenarios");
}
