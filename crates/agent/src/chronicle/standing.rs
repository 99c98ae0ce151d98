//! Whether a node would take a lease that is free. Pure.

use ccm_role::{Campaign, Phase, Status};

/// Why it would not, in words; `None` when it would, or leads, or is on its way.
pub(super) fn not_standing(status: &Status, campaign: Campaign, candidate: bool) -> Option<String> {
    let off = match campaign {
        Campaign::Off => true,
        Campaign::On | Campaign::Forced => false,
    };
    match status.phase {
        Phase::Left => Some(String::from("it has left the cluster: run `ccm join` there")),
        Phase::Passive if off && !candidate => {
            Some(String::from("node.candidate is false in its configuration"))
        }
        Phase::Passive if off => {
            let why = status.problem.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            Some(format!("it could not serve a short while ago and lets others try first{why}"))
        }
        Phase::Starting
        | Phase::Passive
        | Phase::Promoting
        | Phase::Primary
        | Phase::Demoting
        | Phase::Falling
        | Phase::Stopped => None,
    }
}
