//! The line of `systemctl status`, in words. Pure.

use std::time::Duration;

use ccm_role::{Leader, Phase};
use ccm_types::Epoch;

/// Nobody has to look at less.
const UP_TO_DATE: Duration = Duration::from_secs(1);

/// What is seen of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) phase: Phase,
    /// The epoch of the lease that is held.
    pub(crate) epoch: Option<Epoch>,
    /// Another node.
    pub(crate) leader: Option<Leader>,
    /// How far the replica is behind, or why there is nothing to say about that; how far the
    /// bucket is behind on a primary.
    pub(crate) lag: Result<Duration, String>,
    pub(crate) problem: Option<String>,
}

/// Role, epoch, who leads, lag, and what is wrong.
pub(super) fn line(seen: &Seen) -> String {
    let state = match seen.phase {
        Phase::Starting => String::from("starting: nothing of an earlier run may be left"),
        Phase::Passive => passive(seen),
        Phase::Promoting => format!("{}: being promoted", leading(seen)),
        Phase::Primary => match &seen.lag {
            Ok(lag) if *lag < UP_TO_DATE => format!("{}: serving", leading(seen)),
            Ok(lag) => format!("{}: serving, {} not in NATS yet", leading(seen), words(*lag)),
            Err(why) => format!("{}: serving, {why}", leading(seen)),
        },
        Phase::Demoting => format!("{}: handing over", leading(seen)),
        Phase::Falling => String::from("PASSIVE: has lost the lease, stops the backend"),
        Phase::Left => String::from("taken out of the cluster: `ccm join` brings it back"),
        Phase::Stopped => String::from("ending"),
    };
    match &seen.problem {
        Some(problem) if !state.contains(problem.as_str()) => {
            format!("{state}; PROBLEM: {problem}")
        }
        Some(_) | None => state,
    }
}

fn leading(seen: &Seen) -> String {
    match seen.epoch {
        Some(epoch) => format!("PRIMARY of epoch {epoch}"),
        // The lease is given away, its data file is being put aside.
        None => String::from("PASSIVE"),
    }
}

fn passive(seen: &Seen) -> String {
    let leads = match &seen.leader {
        Some(leader) => format!("{} leads epoch {}", leader.node, leader.epoch),
        None => String::from("nobody leads"),
    };
    let follows = match &seen.lag {
        Ok(_) if seen.leader.is_none() => return format!("PASSIVE: {leads}"),
        Ok(lag) if *lag < UP_TO_DATE => String::from("follows"),
        Ok(lag) => format!("follows, {} behind", words(*lag)),
        Err(why) => why.clone(),
    };
    format!("PASSIVE: {leads}; {follows}")
}

/// Coarse, so that the line does not change all the time.
fn words(lag: Duration) -> String {
    match lag.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use ccm_types::NodeId;

    use super::*;

    fn seen(phase: Phase) -> Seen {
        let leader = Leader { node: NodeId::new("node-2").unwrap(), epoch: Epoch::new(7) };
        Seen { phase, epoch: None, leader: Some(leader), lag: Ok(Duration::ZERO), problem: None }
    }

    #[test]
    fn every_state_is_one_line_worth_reading() {
        let leads = |phase| Seen { epoch: Some(Epoch::new(8)), ..seen(phase) };
        let behind = |seen: Seen, seconds| Seen { lag: Ok(Duration::from_secs(seconds)), ..seen };
        let problem = |seen: Seen, words: &str| Seen { problem: Some(words.into()), ..seen };
        let unknown = |seen: Seen, words: &str| Seen { lag: Err(words.into()), ..seen };
        let passive = || seen(Phase::Passive);
        let table = [
            (leads(Phase::Primary), "PRIMARY of epoch 8: serving"),
            (
                behind(leads(Phase::Primary), 12),
                "PRIMARY of epoch 8: serving, 12 s not in NATS yet",
            ),
            (
                problem(leads(Phase::Primary), "NATS is not reachable"),
                "PRIMARY of epoch 8: serving; PROBLEM: NATS is not reachable",
            ),
            (leads(Phase::Promoting), "PRIMARY of epoch 8: being promoted"),
            (leads(Phase::Demoting), "PRIMARY of epoch 8: handing over"),
            (seen(Phase::Demoting), "PASSIVE: handing over"),
            (passive(), "PASSIVE: node-2 leads epoch 7; follows"),
            (behind(passive(), 300), "PASSIVE: node-2 leads epoch 7; follows, 5 min behind"),
            (behind(passive(), 90_000), "PASSIVE: node-2 leads epoch 7; follows, 25 h behind"),
            (
                unknown(passive(), "there is no replica yet"),
                "PASSIVE: node-2 leads epoch 7; there is no replica yet",
            ),
            (
                problem(unknown(passive(), "the disk is full"), "the disk is full"),
                "PASSIVE: node-2 leads epoch 7; the disk is full",
            ),
            (Seen { leader: None, ..passive() }, "PASSIVE: nobody leads"),
            (
                Seen { leader: None, ..unknown(passive(), "NATS is not reachable: …") },
                "PASSIVE: nobody leads; NATS is not reachable: …",
            ),
            (seen(Phase::Falling), "PASSIVE: has lost the lease, stops the backend"),
            (seen(Phase::Left), "taken out of the cluster: `ccm join` brings it back"),
            (seen(Phase::Starting), "starting: nothing of an earlier run may be left"),
            (seen(Phase::Stopped), "ending"),
        ];
        for (seen, expected) in table {
            assert_eq!(line(&seen), expected, "{seen:?}");
        }
    }
}
