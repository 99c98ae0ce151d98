//! Everything that can happen to a node.

use ccm_types::{Epoch, Monotonic, NodeId, Position, Txid};

/// One thing that happened.
///
/// What is not an event cannot happen, and every event is answered in every phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The daemon has started; the first event, exactly once.
    Start {
        /// A backend that an earlier daemon of this node left running under a guard, with the
        /// lease it holds.
        adopted: Option<Adopted>,
        /// The operator has taken this node out of the cluster.
        left: bool,
    },
    /// A deadline of [`crate::Machine::next_deadline`] may have passed.
    Tick,
    /// The lease was won.
    LeaseWon {
        /// The epoch of this leadership.
        epoch: Epoch,
        /// When serving must end unless the lease is renewed.
        valid_until: Monotonic,
        /// The holder before had released it at this position.
        released: Option<Txid>,
    },
    /// The lease was renewed.
    LeaseRenewed {
        /// When serving must end unless the lease is renewed again.
        valid_until: Monotonic,
    },
    /// The lease is gone: expired, or somebody else has it.
    LeaseLost(LossReason),
    /// Our release is stored, or cannot be any more because the lease is gone.
    LeaseReleased,
    /// Who leads, as far as this node has seen; also sent for this node itself.
    LeaderSeen(Option<Leader>),
    /// An operation that an [`crate::Action::Run`] asked for has ended.
    Done {
        /// Which one.
        op: crate::OpId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The backend has ended without being asked to.
    BackendExited {
        /// Exit status or signal, in words.
        why: String,
    },
    /// The backend answers its health probe again, or for the first time.
    BackendHealthy,
    /// The backend runs and has failed its health probe several times in a row.
    BackendUnhealthy {
        /// The last probe's answer, in words.
        why: String,
    },
    /// Capture has ended by itself: fenced, or the data file cannot be read any more.
    CaptureEnded {
        /// The store refuses this epoch.
        fenced: bool,
        /// In words.
        why: String,
    },
    /// Something for the operators has come in; answered with [`crate::Action::Answer`].
    Command {
        /// For the answer.
        id: CommandId,
        /// What is asked.
        command: Command,
    },
    /// The answer to [`crate::Action::AskHandover`].
    HandoverAnswered {
        /// The primary that was asked.
        leader: NodeId,
        /// What came of it.
        answer: Handover,
    },
    /// The daemon is to end: the first call plans, a second one hurries.
    Shutdown,
}

/// A lease that was found running at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Its epoch.
    pub epoch: Epoch,
    /// When serving must end unless the lease is renewed.
    pub valid_until: Monotonic,
}

/// Why the lease is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossReason {
    /// Not renewed in time.
    Expired,
    /// A compare-and-set was refused: somebody else has written.
    Superseded,
}

/// Who holds the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The node.
    pub node: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// What came of a request to hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handover {
    /// The primary has given its lease to this node.
    Done,
    /// It has not, in its own words.
    Refused(String),
    /// Nobody has said anything, in words. The primary may be gone, and it may be about to do it.
    Unanswered(String),
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Ok,
    /// [`crate::Operation::Compare`] has decided.
    Compared(Verdict),
    /// The position reached by catch-up, or stored by the final flush.
    At(Position),
    /// It failed and may work later.
    Transient(String),
    /// It failed and will go on failing until an operator acts.
    Permanent(String),
    /// The store refuses this epoch.
    Fenced,
}

/// Whose data is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The own data file is the newest there is.
    Keep,
    /// The bucket is ahead of the data file, or there is no data file: the replica takes its
    /// place.
    Swap,
    /// There is no data anywhere: an empty database is made.
    Create,
}

/// Pairs a command with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What operators ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Give the leadership away, to this node if there is one named.
    Demote {
        /// Who shall take over.
        successor: Option<NodeId>,
    },
    /// Make this node the primary.
    Promote,
    /// Take this node out of the cluster.
    Leave,
}
