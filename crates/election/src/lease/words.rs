//! What goes into the machine and what comes out of it.

use std::time::Duration;

use ccm_types::{NodeId, Txid};

use crate::{Adoption, Campaign, Change, LeaseRecord, Revision};

/// Pairs a request with its answer; grows with every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// [`crate::Lease::next_deadline`] may have passed.
    Tick,
    /// Whether to take the lease when it is free.
    Campaign(Campaign),
    /// Give the lease back.
    Release {
        /// The final position.
        txid: Txid,
        /// The only node that may take it at once; anybody when `None`.
        successor: Option<NodeId>,
    },
    /// Carry on with a lease that an earlier daemon left.
    Adopt(Adoption),
    /// The key may have been written.
    Hint,
    /// The answer to a [`Request::Read`].
    Read {
        /// Of the request.
        id: RequestId,
        /// What it gave.
        outcome: ReadOutcome,
    },
    /// The answer to a [`Request::Write`].
    Written {
        /// Of the request.
        id: RequestId,
        /// What became of it.
        outcome: WriteOutcome,
    },
}

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The newest write to the key.
    Found {
        /// Its revision; 0 when the key was never written.
        revision: Revision,
        /// `None` when there is no key, or it was deleted.
        record: Option<LeaseRecord>,
    },
    /// Nothing that makes sense, for whatever reason.
    Failed,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Stored under this revision.
    Stored(Revision),
    /// The key has another revision than expected.
    Refused,
    /// It has not left this host: nothing happened.
    NotSent,
    /// It may or may not have been stored, or may still be.
    NoAnswer,
}

/// One thing to do; a new request takes the place of the one before it, if that is still
/// unanswered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Read the key from the stream's leader.
    Read {
        /// For the answer.
        id: RequestId,
        /// How long to wait for it.
        timeout: Duration,
    },
    /// Write the key if it still has the expected revision. To be sent at once, or not at all.
    Write {
        /// For the answer.
        id: RequestId,
        /// 0: the key must not exist.
        expected: Revision,
        /// What to write; an empty `acquired_at` is for whoever sends it to fill in, with the
        /// same text for every write of one epoch.
        record: LeaseRecord,
        /// How long to wait for the answer.
        timeout: Duration,
    },
}

/// What one step asks for and tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// At most one.
    pub requests: Vec<Request>,
    /// In order.
    pub changes: Vec<Change>,
}
