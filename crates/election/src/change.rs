//! What a user of the lease asks for and is told.

use ccm_types::{Epoch, Monotonic, NodeId, Txid};

use crate::LeaseRecord;

/// Whether to try to take the lease when it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// Watch only. A lease that is held stays held, and a claim that is under way may still
    /// succeed: [`Change::Won`] says so.
    Off,
    /// Take the lease as soon as the rules allow it.
    On,
}

/// A lease that an earlier daemon of this node left behind, to be carried on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The epoch it has.
    pub epoch: Epoch,
    /// The daemon that took it.
    pub instance: String,
    /// When it ends unless it is renewed.
    pub valid_until: Monotonic,
}

/// Why the lease is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossReason {
    /// Not renewed in time.
    Expired,
    /// The key holds something that this holder did not write.
    Superseded,
}

/// Who holds the lease, or held it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The node.
    pub node: NodeId,
    /// The epoch of its leadership.
    pub epoch: Epoch,
    /// Its address.
    pub address: String,
    /// It has given the lease back.
    pub released: bool,
    /// The position of that.
    pub txid: Option<Txid>,
}

impl From<&LeaseRecord> for Held {
    fn from(record: &LeaseRecord) -> Self {
        Self {
            node: record.node_id.clone(),
            epoch: record.epoch,
            address: record.address.clone(),
            released: record.released,
            txid: record.txid,
        }
    }
}

/// How a lease was won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Win {
    /// The epoch of the leadership that began with it.
    pub epoch: Epoch,
    /// Who held it before; `None` when nobody ever had.
    pub before: Option<Held>,
    /// When the last write of that one was first seen here, or its release.
    pub last_sign: Monotonic,
    /// When the lease was free and was asked for.
    pub claimed: Monotonic,
}

impl Win {
    /// The position at which the holder before had released it, if it had.
    #[must_use]
    pub fn released(&self) -> Option<Txid> {
        let before = self.before.as_ref().filter(|before| before.released)?;
        Some(before.txid.unwrap_or_default())
    }
}

/// One thing that happened to the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This node holds the lease.
    Won {
        /// The epoch of this leadership.
        epoch: Epoch,
        /// When to begin to stop, unless renewed.
        valid_until: Monotonic,
        /// It was taken over from an earlier daemon of this node.
        adopted: bool,
        /// The holder before it had released it at this position.
        released: Option<Txid>,
    },
    /// The lease goes on.
    Renewed {
        /// When to begin to stop, unless renewed again.
        valid_until: Monotonic,
    },
    /// The lease is gone, and with it the epoch.
    Lost(LossReason),
    /// The release that was asked for is stored, or can no longer be because the lease is gone.
    Released,
    /// Who leads as far as this node has seen; `None` when nobody ever has. Sent when it changes.
    Leader(Option<Held>),
}
