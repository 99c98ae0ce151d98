//! Scenarios as text.
//!
//! ```text
//! # What it is about.
//! seed 17
//! nodes 3
//! twin
//! full-sync
//! at 4.25 kill 1 for 3.5
//! at 9 demote 0 to 2
//! calm 40
//! ```

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};

use super::{Fault, Scenario};
use crate::time::{S, Time};

/// Seconds, as short as they can be written.
struct Seconds(Time);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / S, self.0 % S);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn seconds(word: &str) -> Result<Time> {
    let (whole, part) = word.split_once('.').unwrap_or((word, ""));
    let micros = format!("{part:0<6}");
    let bad = || format!("'{word}' is no number of seconds");
    let whole: Time = whole.parse().with_context(bad)?;
    let part: Time = micros.get(..6).with_context(bad)?.parse().with_context(bad)?;
    Ok(whole * S + part)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, host, time) = match *self {
            Self::Kill(host, time) => ("kill", host, time),
            Self::PowerCut(host, time) => ("power-cut", host, time),
            Self::Pause(host, time) => ("pause", host, time),
            Self::Suspend(host, time) => ("suspend", host, time),
            Self::StopClock(host, time) => ("stop-clock", host, time),
            Self::Mute(host, time) => ("mute", host, time),
            Self::Deaf(host, time) => ("deaf", host, time),
            Self::Cut(host, time) => ("cut", host, time),
            Self::Lossy(host, time) => ("lossy", host, time),
            Self::Slow(host, time) => ("slow", host, time),
            Self::Doubling(host, time) => ("doubling", host, time),
            Self::SlowDisk(host, time) => ("slow-disk", host, time),
            Self::FailingDisk(host, time) => ("failing-disk", host, time),
            Self::FullDisk(host, time) => ("full-disk", host, time),
            Self::BackendStays(host, time) => ("backend-stays", host, time),
            Self::BackendBroken(host, time) => ("backend-broken", host, time),
            Self::VipFails(host, time) => ("vip-fails", host, time),
            Self::Leave(host, time) => ("leave", host, time),
            Self::Shutdown(host, time) => ("shutdown", host, time),
            Self::Hurry(host, time) => ("hurry", host, time),
            Self::NoLeader(time) => return write!(f, "no-leader for {}", Seconds(time)),
            Self::Forget { back, lease, objects } => {
                return write!(f, "forget {}{}", Seconds(back), what(lease, objects));
            }
            Self::Empty { lease, objects } => {
                return write!(f, "empty{}", what(lease, objects));
            }
            Self::Stale { behind, time } => {
                return write!(f, "stale {} for {}", Seconds(behind), Seconds(time));
            }
            Self::BackendDies(host) => return write!(f, "backend-dies {host}"),
            Self::BackendHangs(host) => return write!(f, "backend-hangs {host}"),
            Self::GuardDies(host) => return write!(f, "guard-dies {host}"),
            Self::SetClock(host, by) => return write!(f, "set-clock {host} {by}"),
            Self::Demote(host, None) => return write!(f, "demote {host}"),
            Self::Demote(host, Some(to)) => return write!(f, "demote {host} to {to}"),
            Self::Promote(host) => return write!(f, "promote {host}"),
        };
        write!(f, "{name} {host} for {}", Seconds(time))
    }
}

fn what(lease: bool, objects: bool) -> String {
    let word = |on: bool, word| if on { word } else { "" };
    format!("{}{}", word(lease, " lease"), word(objects, " objects"))
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.parse::<usize>().with_context(|| format!("{word}?"));
        let named = |words: &[&str]| (words.contains(&"lease"), words.contains(&"objects"));
        Ok(match words[..] {
            ["no-leader", "for", time] => Self::NoLeader(seconds(time)?),
            ["forget", back, ref rest @ ..] => {
                let (lease, objects) = named(rest);
                Self::Forget { back: seconds(back)?, lease, objects }
            }
            ["empty", ref rest @ ..] => {
                let (lease, objects) = named(rest);
                Self::Empty { lease, objects }
            }
            ["stale", behind, "for", time] => {
                Self::Stale { behind: seconds(behind)?, time: seconds(time)? }
            }
            ["backend-dies", host] => Self::BackendDies(number(host)?),
            ["backend-hangs", host] => Self::BackendHangs(number(host)?),
            ["guard-dies", host] => Self::GuardDies(number(host)?),
            ["set-clock", host, by] => Self::SetClock(number(host)?, by.parse()?),
            ["demote", host] => Self::Demote(number(host)?, None),
            ["demote", host, "to", to] => Self::Demote(number(host)?, Some(number(to)?)),
            ["promote", host] => Self::Promote(number(host)?),
            [name, host, "for", time] => {
                let (host, time) = (number(host)?, seconds(time)?);
                match name {
                    "kill" => Self::Kill(host, time),
                    "power-cut" => Self::PowerCut(host, time),
                    "pause" => Self::Pause(host, time),
                    "suspend" => Self::Suspend(host, time),
                    "stop-clock" => Self::StopClock(host, time),
                    "mute" => Self::Mute(host, time),
                    "deaf" => Self::Deaf(host, time),
                    "cut" => Self::Cut(host, time),
                    "lossy" => Self::Lossy(host, time),
                    "slow" => Self::Slow(host, time),
                    "doubling" => Self::Doubling(host, time),
                    "slow-disk" => Self::SlowDisk(host, time),
                    "failing-disk" => Self::FailingDisk(host, time),
                    "full-disk" => Self::FullDisk(host, time),
                    "backend-stays" => Self::BackendStays(host, time),
                    "backend-broken" => Self::BackendBroken(host, time),
                    "vip-fails" => Self::VipFails(host, time),
                    "leave" => Self::Leave(host, time),
                    "shutdown" => Self::Shutdown(host, time),
                    "hurry" => Self::Hurry(host, time),
                    other => bail!("no fault is called '{other}'"),
                }
            }
            _ => bail!("'{text}' is no fault"),
        })
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.about.lines() {
            writeln!(f, "# {line}")?;
        }
        writeln!(f, "seed {}\nnodes {}", self.seed, self.nodes)?;
        if self.twin {
            writeln!(f, "twin")?;
        }
        if self.full_sync {
            writeln!(f, "full-sync")?;
        }
        for (at, fault) in &self.faults {
            writeln!(f, "at {} {fault}", Seconds(*at))?;
        }
        writeln!(f, "calm {}", Seconds(self.calm_at))
    }
}

impl FromStr for Scenario {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut scenario = Self {
            about: String::new(),
            seed: 0,
            nodes: 2,
            twin: false,
            full_sync: false,
            calm_at: 0,
            faults: Vec::new(),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let read = || format!("in the line '{line}'");
            match word {
                "#" if scenario.about.is_empty() => scenario.about = String::from(rest),
                "#" => scenario.about = format!("{}\n{rest}", scenario.about),
                "seed" => scenario.seed = rest.parse().with_context(read)?,
                "nodes" => scenario.nodes = rest.parse().with_context(read)?,
                "twin" => scenario.twin = true,
                "full-sync" => scenario.full_sync = true,
                "calm" => scenario.calm_at = seconds(rest).with_context(read)?,
                "at" => {
                    let (at, fault) = rest.split_once(' ').with_context(read)?;
                    let at = seconds(at).with_context(read)?;
                    scenario.faults.push((at, fault.parse().with_context(read)?));
                }
                other => bail!("no line of a scenario begins with '{other}'"),
            }
        }
        scenario.faults.sort_by_key(|(at, _)| *at);
        let known = scenario.hosts();
        if !(1..=9).contains(&scenario.nodes) {
            bail!("a scenario has 1 to 9 nodes");
        }
        if let Some((_, fault)) = scenario.faults.iter().find(|(_, fault)| !fault.fits(known)) {
            bail!("'{fault}' names a host that is not there");
        }
        Ok(scenario)
    }
}
