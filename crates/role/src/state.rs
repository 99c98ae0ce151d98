//! What a node is in the middle of, with exactly the data that this needs.

use ccm_types::{Epoch, Monotonic, NodeId, Position, Txid};

use crate::action::OpId;
use crate::event::{CommandId, Verdict};

/// A phase by name, for status, logs and the transition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Making sure that nothing of an earlier run is left.
    Starting,
    /// Follows the primary, or waits for one.
    Passive,
    /// Has the lease and climbs towards serving.
    Promoting,
    /// Serves.
    Primary,
    /// Has the lease and gives it up in order.
    Demoting,
    /// Has lost the lease: nothing matters before the backend is gone.
    Falling,
    /// An operator has taken the node out of the cluster.
    Left,
    /// The daemon ends.
    Stopped,
}

/// A lease that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) epoch: Epoch,
    pub(crate) valid_until: Monotonic,
    /// Where the holder before had released it, which it does when everything is in the bucket and
    /// it no longer has the virtual IP.
    pub(crate) released: Option<Txid>,
}

/// What the machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The end of this operation.
    Op(OpId),
    /// The moment to try again.
    Until(Monotonic),
}

/// The state; a lease is held exactly in the variants that carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Starting(Starting),
    Passive(Passive),
    Promoting(Promoting),
    Primary(Primary),
    Demoting(Demoting),
    Falling(Falling),
    Left,
    /// Killing what runs, in a hurry.
    Hurrying {
        kill: OpId,
        until: Monotonic,
        killed: bool,
    },
    Stopped,
}

impl State {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Starting(_) => Phase::Starting,
            Self::Passive(_) => Phase::Passive,
            Self::Promoting(_) => Phase::Promoting,
            Self::Primary(_) => Phase::Primary,
            Self::Demoting(_) => Phase::Demoting,
            Self::Falling(_) => Phase::Falling,
            Self::Left => Phase::Left,
            Self::Hurrying { .. } | Self::Stopped => Phase::Stopped,
        }
    }

    /// The lease that the state depends on.
    pub(crate) fn lease(&self) -> Option<Lease> {
        match self {
            Self::Promoting(p) => Some(p.lease),
            Self::Primary(p) => Some(p.lease),
            Self::Demoting(d) if d.rung != DemoteRung::Retire => Some(d.lease),
            Self::Starting(_)
            | Self::Passive(_)
            | Self::Demoting(_)
            | Self::Falling(_)
            | Self::Left
            | Self::Hurrying { .. }
            | Self::Stopped => None,
        }
    }
}

/// Makes sure that no backend is left from an earlier run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Starting {
    pub(crate) wait: Option<Wait>,
    /// Nothing of the backend is left.
    pub(crate) stopped: bool,
    /// The node takes no part afterwards.
    pub(crate) left: bool,
}

/// Follows, or waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Passive {
    /// No campaign before this moment.
    pub(crate) cooldown: Option<Monotonic>,
}

/// The rungs of the promote ladder, from the ground up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromoteRung {
    /// The backend runs under a lease that an earlier daemon held.
    Adopt,
    MoveFence,
    Compare,
    CatchUp,
    Place,
    StartCapture,
    /// A start has failed: nothing of it may be left before the next.
    ResetBackend,
    StartBackend,
}

/// Climbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promoting {
    pub(crate) lease: Lease,
    pub(crate) rung: PromoteRung,
    /// `None` while waiting for the lease to be adopted.
    pub(crate) wait: Option<Wait>,
    pub(crate) verdict: Option<Verdict>,
    /// The backend runs already.
    pub(crate) adopted: bool,
    pub(crate) backend: BackendLimit,
    /// What has been asked meanwhile of a backend that is being adopted.
    pub(crate) planned: Option<Planned>,
}

/// Serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Primary {
    pub(crate) lease: Lease,
    pub(crate) repair: Repair,
    pub(crate) backend: BackendLimit,
    /// Restarts of the capture under way or waited for.
    pub(crate) capture: Option<Wait>,
    pub(crate) captures: BackendLimit,
}

/// A backend that is being restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Nothing to repair.
    None,
    /// Nothing of the old one may be left.
    Stopping(Wait),
    /// The new one is starting.
    Starting(OpId),
}

/// When something was restarted lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BackendLimit {
    pub(crate) restarts: Vec<Monotonic>,
}

/// The rungs of the demote ladder, from the top down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DemoteRung {
    StopBackend,
    Flush,
    Release,
    Retire,
}

/// Descends, with the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demoting {
    pub(crate) lease: Lease,
    pub(crate) rung: DemoteRung,
    /// `None` while waiting for the virtual IP to be gone, or for the release.
    pub(crate) wait: Option<Wait>,
    /// Nothing of the backend is left.
    pub(crate) stopped: bool,
    /// Whether the data file may hold something that the bucket lacks.
    pub(crate) captured: bool,
    /// Whether work on the files that was asked for on the way up may still be under way.
    pub(crate) busy: bool,
    /// Where the final flush ended.
    pub(crate) at: Option<Position>,
    pub(crate) planned: Planned,
}

/// Why a leadership ends by plan, and what comes then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) reason: String,
    pub(crate) successor: Option<NodeId>,
    pub(crate) then: After,
    /// To be answered when it is done.
    pub(crate) asked: Vec<CommandId>,
}

/// What comes after a leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Follow and campaign again.
    Follow,
    /// Follow, and let others have a try first.
    Rest,
    /// Leave the cluster.
    Leave,
    /// End the daemon.
    Exit,
}

/// The rungs of a fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FallRung {
    Kill,
    Flush,
    Abandon,
    Retire,
}

/// Falls, without the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Falling {
    pub(crate) rung: FallRung,
    pub(crate) wait: Wait,
    /// Nothing of the backend is left.
    pub(crate) killed: bool,
    /// Whether work on the files that was asked for on the way up may still be under way.
    pub(crate) busy: bool,
    pub(crate) captured: bool,
    pub(crate) at: Option<Position>,
    /// The own deadline has passed while the election may still hold the lease.
    pub(crate) release: bool,
    pub(crate) reason: String,
    pub(crate) then: After,
    pub(crate) asked: Vec<CommandId>,
}
