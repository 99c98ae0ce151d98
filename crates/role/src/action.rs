//! Everything a node can be told to do.

use ccm_types::{Epoch, Monotonic, NodeId, Position, Txid};

use crate::event::{CommandId, Verdict};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Whether the election may take the lease.
    Campaign(Campaign),
    /// Give the lease up. Nothing that depends on it runs any more.
    Release {
        /// The final position of this leadership, or that of the one before when it has not served.
        txid: Txid,
        /// The only node that may take over at once.
        successor: Option<NodeId>,
    },
    /// Go on with a lease that an earlier daemon of this node held.
    AdoptLease {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Tell the guard until when the backend may run; before the backend starts, and with every
    /// renewal. Never waits for NATS.
    ArmGuard {
        /// The epoch of the lease.
        epoch: Epoch,
        /// When the guard begins to stop the backend.
        valid_until: Monotonic,
    },
    /// Tell the guard that nothing is to be guarded.
    DisarmGuard,
    /// Start an operation; its end comes back as [`crate::Event::Done`]. Operations on one
    /// resource run one after another in the order given; [`Operation::StopBackend`] and
    /// [`Operation::KillBackend`] interrupt a start.
    Run {
        /// For the answer.
        op: OpId,
        /// What to do.
        operation: Operation,
    },
    /// Follow the bucket with the replica until told otherwise. Idempotent.
    Follow,
    /// Stop following; the next operation on the files waits for it.
    StopFollowing,
    /// Ask this primary to hand over to this node; answered by
    /// [`crate::Event::HandoverAnswered`].
    AskHandover {
        /// The primary.
        leader: NodeId,
    },
    /// Answer a command.
    Answer {
        /// Which one.
        id: CommandId,
        /// `Err` carries what the operator can do, in words.
        result: Result<(), String>,
    },
    /// The role has changed: one log line, one record in the state bucket.
    Announce {
        /// In words, for the log.
        reason: String,
    },
    /// End the daemon.
    Exit,
}

/// Whether this node wants the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// Never takes it.
    Off,
    /// Takes it when the holder is silent for long enough or has released it.
    On,
    /// As `On`, also for a node that is no candidate by its configuration.
    Forced,
}

/// Something that takes time and can fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Move the fence of the bucket to this epoch.
    MoveFence {
        /// The epoch of the lease.
        epoch: Epoch,
    },
    /// Decide whose data is the newest; ends with [`crate::Outcome::Compared`].
    Compare,
    /// Bring the replica to the definitive end of the bucket; ends with [`crate::Outcome::At`].
    CatchUp,
    /// Put the data in its place, ready to be opened: swap, keep or create, WAL mode ensured,
    /// stamped with the epoch.
    Place {
        /// What [`Operation::Compare`] decided.
        verdict: Verdict,
        /// The epoch of the lease.
        epoch: Epoch,
    },
    /// Begin to capture and ship; the data file can be written from now on without loss.
    StartCapture {
        /// The epoch of the lease.
        epoch: Epoch,
    },
    /// Take the virtual IP and announce it, if that is done before this moment; fails otherwise.
    AcquireVip {
        /// When the lease ends that it is asked for under.
        until: Monotonic,
        /// The holder of the lease before has given it up, as far as that one knows.
        handed_over: bool,
    },
    /// Give the virtual IP up; done when the kernel no longer has it. Interrupts an
    /// [`Operation::AcquireVip`].
    ReleaseVip,
    /// Start the backend and wait until it runs.
    StartBackend,
    /// Stop the backend with its configured grace; done when nothing of it is left.
    StopBackend,
    /// Stop the backend with a grace that ends before this moment; done when nothing is left.
    KillBackend {
        /// When nothing of it may be left.
        gone_by: Monotonic,
    },
    /// Ship what is left, wait until the store has it, end the capture; ends with
    /// [`crate::Outcome::At`]. The backend is stopped.
    Flush,
    /// End the capture without waiting for the store.
    AbandonCapture,
    /// Turn the data file into the replica: its content is in the bucket up to this position.
    Retire {
        /// The final position.
        at: Position,
    },
}

/// Pairs an operation with its end; grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);
