//! The records in the state directory, and what they say together.

use ccm_types::{Epoch, Position, Txid};
use serde::{Deserialize, Serialize};

use crate::plan::{ReplicaAt, ReplicaState};

/// Under which epoch the data file was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The epoch.
    pub epoch: Epoch,
    /// Everything in the file is in the bucket, up to this transaction, and nobody has written
    /// since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_txid: Option<Txid>,
}

/// What the replica contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PositionRecord {
    /// The epoch that wrote the last transaction.
    pub(crate) epoch: Epoch,
    /// The last transaction.
    pub(crate) txid: Txid,
    /// Page size in bytes.
    pub(crate) page_size: u32,
    /// Size in pages.
    pub(crate) pages: u32,
    /// The commit time of the last transaction; see [`ReplicaAt::timestamp_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp_ms: Option<i64>,
}

impl PositionRecord {
    pub(crate) fn position(self) -> Position {
        Position::new(self.epoch, self.txid)
    }

    fn at(self) -> ReplicaAt {
        ReplicaAt { position: self.position(), timestamp_ms: self.timestamp_ms }
    }

    fn len(self) -> u64 {
        u64::from(self.page_size) * u64::from(self.pages)
    }
}

/// What is about to be applied to the replica. Stays until the next one: it is of no meaning
/// once the position has reached `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// Before the first page.
    pub(crate) from: Position,
    /// The last transaction of which pages may be in the replica.
    pub(crate) to: Txid,
}

/// What the replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replica {
    /// Not there, or not to be relied on.
    None,
    /// A valid database at this position.
    At(PositionRecord),
    /// Between two positions: no database, but any files that lead from `from` to `to` or
    /// further make it one, because they contain whole pages.
    Torn {
        /// The position before.
        from: PositionRecord,
        /// Pages up to this transaction may be there.
        to: Txid,
    },
}

impl Replica {
    /// In the words of the plans.
    pub(crate) fn state(self) -> ReplicaState {
        match self {
            Self::None => ReplicaState::None,
            Self::At(record) => ReplicaState::At(record.at()),
            Self::Torn { from, to } => ReplicaState::Torn { from: from.at(), to },
        }
    }
}

/// What the position, the end of what was announced, and the length of the replica (`None`: no
/// file) say together.
pub(super) fn replica(
    record: Option<PositionRecord>,
    intent: Option<Txid>,
    len: Option<u64>,
) -> Replica {
    let (Some(record), Some(len)) = (record, len) else { return Replica::None };
    match intent {
        Some(to) if to > record.txid => Replica::Torn { from: record, to },
        Some(_) | None if len == record.len() => Replica::At(record),
        Some(_) | None => Replica::None,
    }
}
