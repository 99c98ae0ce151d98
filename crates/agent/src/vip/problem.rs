//! What is wrong with the virtual IP, in words for the status. Pure.

use ccm_role::Phase;
use ccm_types::Monotonic;
use ccm_vip::{VipConfig, VipState};

use super::Trouble;

/// The most important thing that is wrong; `None` when all is as it should be.
pub(super) fn of(
    config: &VipConfig,
    phase: Phase,
    state: &Result<VipState, String>,
    trouble: &Trouble,
    now: Monotonic,
) -> Option<String> {
    let (address, interface) = (config.address(), config.interface());
    let vip = format!("the virtual IP {address}");
    let state = match state {
        Ok(state) => state,
        Err(why) => return Some(format!("whether {vip} is here is not known: {why}")),
    };
    match phase {
        Phase::Primary => {
            if !state.is_held() {
                let why = trouble.not_put_back().map(|why| format!(": {why}"));
                let why = why.or_else(|| Some(format!(": {}", state.link.problem(interface)?)));
                let why = why.unwrap_or_default();
                return Some(format!(
                    "{vip} is not on {interface} although this node is PRIMARY{why}"
                ));
            }
            if let Some(mac) = trouble.claimed_by(now) {
                return Some(format!(
                    "another host, {mac}, claims {vip}: `ccm vip release` there takes it off"
                ));
            }
            if !state.usable {
                return Some(format!(
                    "{vip} is on {interface}, but the kernel does not answer for it: `ip address \
                     show dev {interface}` says why"
                ));
            }
            state.link.problem(interface).or_else(|| elsewhere(&vip, state))
        }
        Phase::Passive | Phase::Left => {
            if state.is_held() {
                return Some(format!(
                    "{vip} is on {interface} although this node is not PRIMARY: `ccm vip \
                     release` takes it off"
                ));
            }
            elsewhere(&vip, state).or_else(|| {
                Some(format!("{vip} could not be here: {}", state.link.problem(interface)?))
            })
        }
        // On its way: the machine says what hinders it.
        Phase::Starting | Phase::Promoting | Phase::Demoting | Phase::Falling | Phase::Stopped => {
            None
        }
    }
}

fn elsewhere(vip: &str, state: &VipState) -> Option<String> {
    let others = state.elsewhere.join(", ");
    (!others.is_empty()).then(|| format!("{vip} is on {others} of this host: take it off there"))
}

#[cfg(test)]
mod tests {
    use ccm_vip::{LinkState, Mac};

    use super::*;

    fn seen(held: bool, link: LinkState) -> Result<VipState, String> {
        let prefix_lens = if held { vec![24] } else { Vec::new() };
        Ok(VipState { link, prefix_lens, usable: held, elsewhere: Vec::new() })
    }

    #[test]
    fn the_status_names_what_an_operator_should_look_at() {
        let config = VipConfig::new([10, 0, 1, 100].into(), 24, "eth0").unwrap();
        let calm = Trouble::default();
        let mut claimed = Trouble::default();
        claimed.conflict(Mac::new([2, 0, 0, 0, 0, 7]), Monotonic::default());
        let table = [
            (Phase::Primary, seen(true, LinkState::Up), &calm, None),
            (Phase::Passive, seen(false, LinkState::Up), &calm, None),
            (Phase::Promoting, seen(false, LinkState::Up), &calm, None),
            (
                Phase::Primary,
                seen(false, LinkState::Up),
                &calm,
                Some("the virtual IP 10.0.1.100 is not on eth0 although this node is PRIMARY"),
            ),
            (
                Phase::Primary,
                seen(false, LinkState::Missing),
                &calm,
                Some(
                    "the virtual IP 10.0.1.100 is not on eth0 although this node is PRIMARY: there \
                     is no interface eth0: `ip link` shows those there are",
                ),
            ),
            (
                Phase::Primary,
                seen(true, LinkState::Up),
                &claimed,
                Some(
                    "another host, 02:00:00:00:00:07, claims the virtual IP 10.0.1.100: `ccm vip \
                     release` there takes it off",
                ),
            ),
            (
                Phase::Passive,
                seen(true, LinkState::Up),
                &calm,
                Some(
                    "the virtual IP 10.0.1.100 is on eth0 although this node is not PRIMARY: `ccm \
                     vip release` takes it off",
                ),
            ),
            (
                Phase::Passive,
                Err(String::from("why")),
                &calm,
                Some("whether the virtual IP 10.0.1.100 is here is not known: why"),
            ),
        ];
        for (phase, state, trouble, expected) in table {
            let problem = of(&config, phase, &state, trouble, Monotonic::default());
            assert_eq!(problem.as_deref(), expected, "{phase:?} {state:?}");
        }
    }
}
