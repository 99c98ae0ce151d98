//! The words of one crate in those of another. Pure, so that a simulation says the same.

use std::time::Duration;

use ccm_election::{Change, Timing};
use ccm_guard::Armed;
use ccm_role::{Event, Leader};
use ccm_types::{Epoch, Monotonic, NodeId};

/// Restarts of a backend within [`RESTART_WINDOW`] before the lease is handed over.
pub(crate) const RESTARTS_MAX: u32 = 3;

/// See [`RESTARTS_MAX`].
pub(crate) const RESTART_WINDOW: Duration = Duration::from_secs(600);

/// What the machine has to know of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// This node.
    pub node: NodeId,
    /// Whether it may take over without being told.
    pub candidate: bool,
    /// Whether there is a virtual IP.
    pub vip: bool,
    /// The numbers of the lease.
    pub timing: Timing,
    /// SIGTERM to SIGKILL in a planned stop.
    pub stop_timeout: Duration,
    /// How long a start may take.
    pub start_timeout: Duration,
}

/// The machine's configuration.
#[must_use]
pub fn machine_config(config: NodeConfig) -> ccm_role::Config {
    let NodeConfig { node, candidate, vip, timing, stop_timeout, start_timeout } = config;
    ccm_role::Config {
        node,
        candidate,
        vip,
        ttl: timing.ttl,
        stop: timing.stop(),
        stop_timeout,
        start_timeout,
        retry: timing.retry(),
        restarts_max: RESTARTS_MAX,
        restart_window: RESTART_WINDOW,
    }
}

/// What the election says, for the machine.
#[must_use]
pub fn lease_event(change: Change) -> Event {
    match change {
        Change::Won { epoch, valid_until, adopted: _, released } => {
            Event::LeaseWon { epoch, valid_until, released }
        }
        Change::Renewed { valid_until } => Event::LeaseRenewed { valid_until },
        Change::Lost(ccm_election::LossReason::Expired) => {
            Event::LeaseLost(ccm_role::LossReason::Expired)
        }
        Change::Lost(ccm_election::LossReason::Superseded) => {
            Event::LeaseLost(ccm_role::LossReason::Superseded)
        }
        Change::Released => Event::LeaseReleased,
        Change::Leader(held) => Event::LeaderSeen(
            held.filter(|held| !held.released)
                .map(|held| Leader { node: held.node, epoch: held.epoch }),
        ),
    }
}

/// What the machine wants of the election.
#[must_use]
pub fn campaign(campaign: ccm_role::Campaign) -> ccm_election::Campaign {
    match campaign {
        ccm_role::Campaign::Off => ccm_election::Campaign::Off,
        ccm_role::Campaign::On | ccm_role::Campaign::Forced => ccm_election::Campaign::On,
    }
}

/// The deadline of a lease, for the guard.
#[must_use]
pub fn armed(timing: Timing, epoch: Epoch, instance: String, valid_until: Monotonic) -> Armed {
    let stop = timing.stop();
    Armed {
        epoch,
        instance,
        valid_until,
        kill_at: valid_until + stop / 2,
        gone_by: valid_until + stop,
    }
}
