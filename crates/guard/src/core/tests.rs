//! Tables: what happens at which time, and what the guard is to do.

use std::fmt::Write as _;

use ccm_types::Epoch;

use super::*;
use crate::wire::Refusal;

const IDLE: Duration = Duration::from_secs(10);

/// A guard driven by lines of `time what`, answering with lines of what it does.
struct Table {
    core: Core,
    asked: u64,
}

fn ms(millis: u64) -> Monotonic {
    Monotonic::from_millis(millis)
}

fn shown(effect: &Effect) -> String {
    match effect {
        Effect::Start { argv, .. } => format!("start {}", argv.join(" ")),
        Effect::Stop => "stop".to_owned(),
        Effect::Kill => "kill".to_owned(),
        Effect::DropVip => "drop-vip".to_owned(),
        Effect::Look { .. } => "look".to_owned(),
        Effect::Exited { why } => format!("event({why})"),
        Effect::Quit => "quit".to_owned(),
        Effect::Reply { caller, reply } => match reply {
            Reply::Done => format!("{}:done", caller.id),
            Reply::Started { pid } => format!("{}:pid{pid}", caller.id),
            Reply::Refused(Refusal { code, .. }) => format!("{}:{code:?}", caller.id),
            Reply::Hello(hello) => format!("{}:{:?}", caller.id, hello.backend),
        },
    }
}

impl Table {
    fn new(starts: bool) -> Self {
        Self::with_vip(starts, false)
    }

    fn with_vip(starts: bool, has_vip: bool) -> Self {
        let version = "test".to_owned();
        let vip = has_vip.then(|| VipName {
            address: [10, 0, 1, 100].into(),
            prefix_len: 24,
            interface: "eth0".to_owned(),
        });
        let config = CoreConfig { pid: 1, version, starts, vip, idle_exit: IDLE };
        Self { core: Core::new(config, ms(0)), asked: 0 }
    }

    fn input(&mut self, words: &[&str]) -> Input {
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let request = match words[0] {
            "tick" => return Input::Tick,
            "connect" => return Input::Connected,
            "disconnect" => return Input::Disconnected,
            "vip-gone" => return Input::VipDropped(true),
            "vip-left" => return Input::VipDropped(false),
            "signal" => return Input::Signalled,
            "ended" => return Input::Ended { why: "ended".to_owned() },
            "gone" => return Input::Looked { round: self.core.round, gone: true },
            "left" => return Input::Looked { round: self.core.round, gone: false },
            "old-gone" => return Input::Looked { round: self.core.round - 1, gone: true },
            "arm" => Request::Arm {
                armed: Armed {
                    epoch: Epoch::new(number(1)),
                    instance: "i".to_owned(),
                    valid_until: ms(number(2)),
                    kill_at: ms(number(2) + 300),
                    gone_by: ms(number(2) + 500),
                },
            },
            "disarm" => Request::Disarm,
            "start" => Request::Start { argv: vec!["b".to_owned()] },
            "stop" => Request::Stop { grace_ms: number(1) },
            "kill" => Request::Kill { gone_by: ms(number(1)) },
            "quit" => Request::Quit,
            "hello" => Request::Hello,
            other => panic!("{other}?"),
        };
        self.asked += 1;
        Input::Asked { caller: Caller { connection: 1, id: self.asked }, request }
    }

    /// Runs `lines` and compares each with what is after its `=>`.
    fn run(mut self, lines: &str) {
        let mut got = String::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let asked = line.split("=>").next().unwrap().trim();
            let words: Vec<&str> = asked.split(' ').collect();
            let now = ms(words[0].parse().unwrap());
            let input = self.input(&words[1..]);
            let mut effects = self.core.step(now, input);
            if let [Effect::Start { caller, .. }] = effects[..] {
                effects.extend(self.core.step(now, Input::Started { caller, result: Ok(9) }));
            }
            let effects: Vec<String> = effects.iter().map(shown).collect();
            let next = self.core.next_deadline().map_or("-".to_owned(), |at| at.to_string());
            writeln!(got, "{asked} => {} @{next}", effects.join(" ")).unwrap();
        }
        let wanted: String = lines
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!("{}\n", line.trim()))
            .collect();
        assert_eq!(got, wanted, "\n{got}");
    }
}

#[test]
fn a_deadline_that_passes_ends_the_backend_by_itself() {
    Table::new(true).run(
        "0 connect =>  @-
        0 arm 1 1000 => 1:done @1000
        10 start => start b 2:pid9 @1000
        20 disconnect =>  @1000
        999 tick =>  @1000
        1000 tick => stop @1050
        1050 tick => look @1100
        1051 left =>  @1100
        1299 tick => look @1300
        1300 tick => kill look @1350
        1350 tick => kill look @1400
        1351 gone => event(the lease of epoch 1 ran out) @11351
        11351 tick => quit @11351",
    );
}

#[test]
fn a_host_that_slept_through_the_deadline_kills_at_once() {
    Table::new(true).run(
        "0 connect =>  @-
        0 arm 1 1000 => 1:done @1000
        10 start => start b 2:pid9 @1000
        900000 tick => kill look @900050
        900001 gone => event(the lease of epoch 1 ran out) @-
        900002 arm 1 990000 => 3:DeadlinePassed @-
        900002 start => 4:DeadlinePassed @-
        900003 arm 2 990000 => 5:done @990000
        900004 start => start b 6:pid9 @990000",
    );
}

#[test]
fn a_renewal_that_arrives_after_the_deadline_comes_too_late() {
    Table::new(true).run(
        "0 arm 1 1000 => 1:done @1000
        10 start => start b 2:pid9 @1000
        500 arm 1 1500 => 3:done @1500
        1500 arm 1 2500 => stop 4:DeadlinePassed @1550
        1501 hello => 5:Stopping @1550
        1502 arm 2 3000 => 6:done @1550
        1503 start => 7:Stopping @1550
        1510 ended => look @1560
        1511 gone => event(the lease of epoch 1 ran out) @3000
        1512 start => start b 8:pid9 @3000",
    );
}

#[test]
fn deadlines_only_move_forward() {
    Table::new(true).run(
        "0 arm 5 1000 => 1:done @1000
        1 arm 4 9000 => 2:OlderEpoch @1000
        2 arm 5 900 => 3:Backwards @1000
        3 arm 5 1000 => 4:done @1000
        4 arm 6 500 => 5:done @500
        5 arm 7 4 => 6:DeadlinePassed @500
        7 disarm => 7:done @10007
        8 arm 1 1000 => 8:done @1000
        9 disarm => 9:done @10009
        10 signal => quit @10009",
    );
}

#[test]
fn a_guard_that_was_asked_to_end_stays_as_long_as_somebody_needs_it() {
    Table::new(true).run(
        "0 connect =>  @-
        0 arm 1 1000 => 1:done @1000
        1 signal =>  @1000
        2 disarm => 2:done @-
        3 disconnect => quit @10003",
    );
}

#[test]
fn nothing_starts_unguarded_or_twice() {
    Table::new(true).run(
        "0 connect =>  @-
        0 start => 1:NotArmed @-
        0 arm 1 1000 => 2:done @1000
        1 start => start b 3:pid9 @1000
        2 start => 4:Running @1000
        3 disarm => 5:Running @1000
        4 quit => 6:Running @1000
        5 hello => 7:Running { pid: 9, since: Monotonic(1) } @1000
        6 stop 200 => stop @56
        7 start => 9:Stopping @56
        7 quit => 10:Stopping @56
        8 gone => 8:done @1000
        9 stop 200 => 11:done @1000
        10 disarm => 12:done @-
        11 quit => 13:done quit @-",
    );
}

#[test]
fn a_stop_in_progress_can_be_hurried_and_is_cut_by_the_deadline() {
    Table::new(true).run(
        "0 arm 1 1000 => 1:done @1000
        0 start => start b 2:pid9 @1000
        100 stop 30000 => stop @150
        150 tick => look @200
        1000 tick => look @1050
        1299 tick => look @1300
        1300 tick => kill look @1350
        1301 gone => 3:done @11301
        1302 arm 2 9000 => 4:done @9000
        1302 start => start b 5:pid9 @9000
        1400 stop 30000 => stop @1450
        1440 kill 1460 =>  @1450
        1450 tick => kill look @1500
        1451 old-gone =>  @1500
        1452 gone => 6:done 7:done @9000",
    );
}

#[test]
fn a_backend_that_ends_by_itself_takes_its_leftovers_with_it() {
    Table::new(true).run(
        "0 connect =>  @-
        0 arm 1 90000 => 1:done @90000
        0 start => start b 2:pid9 @90000
        500 ended => kill look @550
        501 left =>  @550
        550 tick => kill look @600
        2600 tick => kill look @3100
        2601 gone => event(ended) @90000
        2602 hello => 3:Exited { why: \"ended\" } @90000
        2603 start => start b 4:pid9 @90000
        2604 stop 0 => kill look @2654
        2605 ended => kill look @2655
        2606 gone => 5:done @90000
        2607 hello => 6:Stopped @90000",
    );
}

#[test]
fn a_backend_that_something_else_runs_is_kept_down_after_the_deadline() {
    Table::new(false).run(
        "0 connect =>  @-
        0 arm 1 1000 => 1:done @1000
        0 start => 2:NotAProcess @1000
        0 quit => 3:Running @1000
        1000 tick => stop @1050
        1050 tick => look @1100
        1051 gone => event(the lease of epoch 1 ran out) @1500
        1500 tick => look @2000
        1501 gone =>  @2000
        2000 tick => look @2500
        2001 left => kill look @2051",
    );
}

#[test]
fn the_virtual_ip_goes_with_the_lease_until_it_is_gone() {
    Table::with_vip(true, true).run(
        "0 arm 1 1000 => 1:done @1000
        10 start => start b 2:pid9 @1000
        1000 tick => drop-vip stop @1050
        1050 tick => look @1100
        1060 gone => event(the lease of epoch 1 ran out) @1100
        1100 vip-left => drop-vip @1200
        1150 vip-gone =>  @1650
        1650 tick => drop-vip @2150
        1651 vip-gone =>  @2151
        1700 disarm => 3:done @11150",
    );
}

#[test]
fn a_newer_lease_keeps_the_virtual_ip() {
    Table::with_vip(true, true).run(
        "0 arm 1 1000 => 1:done @1000
        1000 tick => drop-vip @1100
        1010 arm 2 3000 => 2:done @3000
        1200 vip-left =>  @3000",
    );
}

#[test]
fn a_guard_does_not_quit_before_the_virtual_ip_is_gone() {
    Table::with_vip(true, true).run(
        "0 arm 1 1000 => 1:done @1000
        1000 tick => drop-vip @1100
        1010 quit => 2:Stopping @1100
        1020 vip-gone =>  @1520
        1030 quit => 3:done quit @1520",
    );
}
