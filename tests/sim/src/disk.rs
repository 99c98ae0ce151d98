//! The files of a node, as far as decisions depend on them.

use ccm_types::{Epoch, Position, Txid};
use ccm_wal_ltx::local::Stamp;
use ccm_wal_ltx::plan::{DataSummary, Present, ReplicaAt, ReplicaState, WalEnd, WalStart};

use crate::content::Version;
use crate::random::Random;
use crate::time::Time;

/// Bytes of a WAL's header (SQLite file format, section 4.1).
const WAL_HEADER: u64 = 32;

/// Bytes of a frame: every commit is one page of 4096 bytes.
const FRAME: u64 = 24 + 4096;

/// A write-ahead log.
#[derive(Debug, Clone)]
pub(crate) struct Wal {
    pub(crate) start: WalStart,
    /// The database after each commit.
    pub(crate) frames: Vec<Version>,
    /// How many of them a power loss cannot take.
    pub(crate) synced: usize,
    /// All of them are in the database file: the next commit starts over.
    pub(crate) copied: bool,
}

impl Wal {
    pub(crate) fn offset(frames: usize) -> u64 {
        WAL_HEADER + frames as u64 * FRAME
    }

    /// How many frames end at this byte.
    pub(crate) fn frames_at(offset: u64) -> usize {
        usize::try_from(offset.saturating_sub(WAL_HEADER) / FRAME).unwrap_or(usize::MAX)
    }
}

/// The data file.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    /// In the database file.
    pub(crate) base: Version,
    pub(crate) wal: Option<Wal>,
}

impl Data {
    pub(crate) fn of(base: Version) -> Self {
        Self { base, wal: None }
    }

    /// What whoever opens it reads.
    pub(crate) fn content(&self) -> Version {
        self.wal.as_ref().and_then(|wal| wal.frames.last().copied()).unwrap_or(self.base)
    }

    pub(crate) fn wal_start(&self) -> Option<WalStart> {
        self.wal.as_ref().map(|wal| wal.start)
    }

    pub(crate) fn wal_len(&self) -> u64 {
        self.wal.as_ref().map_or(0, |wal| Wal::offset(wal.frames.len()))
    }

    pub(crate) fn wal_end(&self) -> Option<WalEnd> {
        let wal = self.wal.as_ref()?;
        let offset = Wal::offset(wal.frames.len());
        Some(WalEnd { salt1: wal.start.salt1, salt2: wal.start.salt2, offset })
    }

    /// One more commit.
    pub(crate) fn commit(&mut self, version: Version, full_sync: bool, random: &mut Random) {
        let salt2 = random.salt();
        let base = self.base;
        match &mut self.wal {
            Some(wal) if !wal.copied => wal.frames.push(version),
            Some(wal) => {
                let start = WalStart { salt1: wal.start.salt1.wrapping_add(1), salt2 };
                self.base = wal.frames.last().copied().unwrap_or(base);
                *wal = Wal { start, frames: vec![version], synced: 0, copied: false };
            }
            None => {
                let start = WalStart { salt1: random.salt(), salt2 };
                self.wal = Some(Wal { start, frames: vec![version], synced: 0, copied: false });
            }
        }
        if let Some(wal) = self.wal.as_mut().filter(|_| full_sync) {
            wal.synced = wal.frames.len();
        }
    }

    /// Everything goes into the database file; the WAL stays until the next commit.
    pub(crate) fn checkpoint(&mut self) {
        if let Some(wal) = &mut self.wal {
            wal.synced = wal.frames.len();
            wal.copied = true;
        }
    }

    /// As the last connection that closes does it: the WAL is gone.
    pub(crate) fn close(&mut self) {
        self.base = self.content();
        self.wal = None;
    }

    /// What a power loss leaves. The header of a WAL is synced before its first frame.
    pub(crate) fn lose_power(&mut self, random: &mut Random) {
        if let Some(wal) = &mut self.wal {
            let lost = random.index(wal.frames.len() - wal.synced + 1);
            wal.frames.truncate(wal.frames.len() - lost);
        }
    }
}

/// The replica.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) content: Version,
    pub(crate) at: Position,
    pub(crate) timestamp_ms: Option<i64>,
    /// Pages up to this transaction may be in it.
    pub(crate) torn: Option<Txid>,
}

impl Replica {
    fn state(&self) -> ReplicaAt {
        ReplicaAt { position: self.at, timestamp_ms: self.timestamp_ms }
    }
}

/// The disk of a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) data: Option<Data>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) replica: Option<Replica>,
    /// Files set aside.
    pub(crate) aside: Vec<Version>,
    /// An operator has taken the node out.
    pub(crate) left: bool,
    pub(crate) slow_until: Time,
    pub(crate) failing_until: Time,
    pub(crate) full_until: Time,
}

impl Disk {
    pub(crate) fn summary(&self) -> DataSummary {
        let stamp = self.stamp.map(|stamp| stamp.epoch).filter(|_| self.data.is_some());
        let replica = self.replica_at().map(|at| at.epoch);
        DataSummary { present: self.data.is_some(), stamp, replica, torn: None }
    }

    /// The highest epoch that the files know of.
    pub(crate) fn highest_epoch(&self) -> Epoch {
        let stamp = self.stamp.map(|stamp| stamp.epoch);
        let replica = self.replica.as_ref().map(|replica| replica.at.epoch);
        stamp.max(replica).unwrap_or(Epoch::NONE)
    }

    pub(crate) fn present(&self) -> Present {
        match self.data {
            Some(_) => Present::Database(self.stamp),
            None => Present::Missing,
        }
    }

    pub(crate) fn replica_state(&self) -> ReplicaState {
        match &self.replica {
            None => ReplicaState::None,
            Some(replica @ Replica { torn: None, .. }) => ReplicaState::At(replica.state()),
            Some(replica @ Replica { torn: Some(to), .. }) => {
                ReplicaState::Torn { from: replica.state(), to: *to }
            }
        }
    }

    /// Where the replica is, if it is one.
    pub(crate) fn replica_at(&self) -> Option<Position> {
        match self.replica_state() {
            ReplicaState::At(at) => Some(at.position),
            ReplicaState::None | ReplicaState::Torn { .. } => None,
        }
    }
}
