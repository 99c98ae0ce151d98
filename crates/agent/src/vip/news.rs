//! What happens to the virtual IP while nobody asks: one line each, and what is wrong at present.

use std::time::Duration;

use ccm_health::metrics::Counts;
use ccm_types::{BootClock, Monotonic};
use ccm_vip::{Mac, VipEvent};

use super::VipPort;
use crate::outcome;

/// Between two tries to open what cannot be opened.
const OPEN_AGAIN: Duration = Duration::from_secs(5);

/// A conflict counts as present for so long after it was seen last: it is told once a second.
const CONFLICT_LASTS: Duration = Duration::from_secs(10);

/// What is wrong at present, beyond what a look shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Why it is not there.
    not_put_back: Option<String>,
    /// The other host that has claimed it, and when.
    conflict: Option<(Mac, Monotonic)>,
}

impl Trouble {
    /// Another host has claimed the address.
    pub(crate) fn conflict(&mut self, mac: Mac, at: Monotonic) {
        self.conflict = Some((mac, at));
    }

    /// Why it could not be put back.
    pub(crate) fn not_put_back(&self) -> Option<&str> {
        self.not_put_back.as_deref()
    }

    /// The host that claims the address at present.
    pub(crate) fn claimed_by(&self, now: Monotonic) -> Option<Mac> {
        self.conflict.filter(|(_, at)| now.since(*at) < CONFLICT_LASTS).map(|(mac, _)| mac)
    }

    fn note(&mut self, event: &VipEvent, now: Monotonic) {
        match event {
            VipEvent::Back => self.not_put_back = None,
            VipEvent::NotPutBack { problem } => self.not_put_back = Some(problem.clone()),
            VipEvent::Conflict { mac } => self.conflict(*mac, now),
            VipEvent::Lost
            | VipEvent::Unwanted
            | VipEvent::Link(_)
            | VipEvent::Renamed { .. }
            | VipEvent::NotAnnounced { .. }
            | VipEvent::Deaf { .. }
            | VipEvent::Missed { .. } => {}
        }
    }
}

/// Forwards for as long as the daemon runs.
pub(super) async fn forward(port: &VipPort, counts: &Counts) {
    // It is tried again and again: the same failure is said once.
    let mut said = String::new();
    let mut events = loop {
        match port.vip().await {
            Ok(vip) => break vip.watch(),
            Err(error) => {
                let problem = outcome::words(&error);
                if problem != said {
                    tracing::warn!(%problem, "the virtual IP cannot be watched: trying again");
                    said = problem;
                }
                tokio::time::sleep(OPEN_AGAIN).await;
            }
        }
    };
    while let Some(event) = events.next().await {
        say(port, &event);
        count(port, &event, counts);
        port.trouble.send_modify(|trouble| trouble.note(&event, BootClock.now()));
    }
}

fn count(port: &VipPort, event: &VipEvent, counts: &Counts) {
    match event {
        VipEvent::Conflict { .. } => counts.vip_conflict(),
        VipEvent::Lost if port.may_hold() => counts.vip_removed(),
        VipEvent::NotAnnounced { .. } => counts.vip_unannounced(),
        VipEvent::Lost
        | VipEvent::Back
        | VipEvent::NotPutBack { .. }
        | VipEvent::Unwanted
        | VipEvent::Link(_)
        | VipEvent::Renamed { .. }
        | VipEvent::Deaf { .. }
        | VipEvent::Missed { .. } => {}
    }
}

/// WARN only for what somebody should act on.
fn say(port: &VipPort, event: &VipEvent) {
    let (vip, interface) = (port.config.address(), port.config.interface());
    match event {
        VipEvent::Lost if !port.may_hold() => {
            tracing::info!(%vip, interface, "the guard has taken the virtual IP off");
        }
        VipEvent::Lost => tracing::warn!(
            %vip, interface,
            "the virtual IP was removed by something else and is being put back"
        ),
        VipEvent::Back => tracing::info!(%vip, interface, "the virtual IP is here again"),
        VipEvent::NotPutBack { problem } => tracing::warn!(
            %vip, interface, %problem,
            "the virtual IP cannot be put back, so nobody reaches it: trying again"
        ),
        VipEvent::Unwanted => tracing::warn!(
            %vip, interface,
            "something has added the virtual IP although this node is not to have it: `ccm vip \
             release` takes it off"
        ),
        VipEvent::Link(state) => match state.problem(interface) {
            Some(problem) => tracing::warn!(%vip, "{problem}"),
            None => tracing::info!(%vip, interface, "the interface is up"),
        },
        VipEvent::Renamed { to } => tracing::warn!(
            %vip, interface, to,
            "the interface of the virtual IP has another name now: set vip.interface"
        ),
        VipEvent::Conflict { mac } => tracing::warn!(
            %vip, interface, %mac,
            "another host claims the virtual IP, which is this node's by its lease: `ccm vip \
             release` there takes it off"
        ),
        VipEvent::NotAnnounced { problem } => tracing::warn!(
            %vip, interface, %problem,
            "the virtual IP could not be announced: neighbours may look for it elsewhere"
        ),
        VipEvent::Deaf { problem } => {
            tracing::info!(%vip, interface, %problem, "changes are seen every few seconds only");
        }
        VipEvent::Missed { count } => tracing::debug!(%vip, count, "news was missed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_over_when_it_was_not_seen_for_a_while() {
        let mac = Mac::new([2, 0, 0, 0, 0, 7]);
        let at = Monotonic::from_millis;
        let mut trouble = Trouble::default();
        assert_eq!(trouble.claimed_by(at(0)), None);
        trouble.note(&VipEvent::Conflict { mac }, at(1000));
        assert_eq!(trouble.claimed_by(at(10_999)), Some(mac));
        assert_eq!(trouble.claimed_by(at(11_000)), None);
        trouble.note(&VipEvent::Conflict { mac }, at(20_000));
        assert_eq!(trouble.claimed_by(at(21_000)), Some(mac));
    }

    #[test]
    fn an_address_that_is_back_is_no_trouble_any_more() {
        let mut trouble = Trouble::default();
        let problem = String::from("no");
        trouble.note(&VipEvent::NotPutBack { problem }, Monotonic::default());
        assert_eq!(trouble.not_put_back(), Some("no"));
        trouble.note(&VipEvent::Back, Monotonic::default());
        assert_eq!(trouble, Trouble::default());
    }
}
