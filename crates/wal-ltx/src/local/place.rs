//! Putting the data in its place, ready to be opened by the backend.

use std::path::{Path, PathBuf};

use ccm_types::{Epoch, Position, Txid};

use super::moves::{self, Step};
use super::owner::Owner;
use super::{Local, LocalError, Replica, Stamp, disk, sqlite};
use crate::plan::{Placing, Verdict, placing};

/// What SQLite keeps beside a database and what belongs to it.
const OWN: [&str; 2] = ["-wal", "-journal"];

/// What has been put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// What the data file contains, when it was the replica until now.
    pub position: Option<Position>,
    /// Where the previous data file is, when it was set aside.
    pub set_aside: Option<PathBuf>,
}

impl Local {
    /// Puts the data in its place for a leadership of `epoch`: kept, swapped for the replica, or
    /// created; in WAL mode; owned by who must write it; stamped. The backend is stopped.
    ///
    /// What was the replica is all in the bucket until [`Local::open_for_writes`]: a leadership
    /// that ends before it gives the file back as the replica.
    ///
    /// Calling it again after an error goes on where it stopped.
    ///
    /// # Errors
    /// [`LocalError::NoData`] (nothing to keep), [`LocalError::NoReplica`] (nothing to swap in),
    /// [`LocalError::Busy`], [`LocalError::NotWal`], [`LocalError::Owner`] and those of
    /// [`Local::data`].
    pub fn place(&self, verdict: Verdict, epoch: Epoch) -> Result<Placed, LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        self.flush_in_turn()?;
        let data = self.look_at_data()?;
        let replica = match self.replica()? {
            Replica::At(record) => Some(record.position()),
            Replica::None | Replica::Torn { .. } => None,
        };
        let at = self.paths.data.clone();
        let placed = match placing(verdict, data.present(), replica, epoch) {
            Placing::Keep => self.keep(epoch)?,
            Placing::Done => {
                let txid = self.stamp()?.and_then(|stamp| stamp.clean_txid);
                let position = txid.map(|txid| Position::new(epoch, txid));
                Placed { position, set_aside: None }
            }
            Placing::Swap { aside } => self.swap(aside, replica, epoch)?,
            Placing::Create => self.create(epoch)?,
            Placing::NothingToKeep => return Err(LocalError::NoData { path: at }),
            Placing::NoReplica => {
                return Err(LocalError::NoReplica { path: self.paths.replica.clone() });
            }
            Placing::Occupied => {
                let why = "an empty database was to be created there and one exists";
                return Err(LocalError::BadPath { path: at, why });
            }
        };
        let header = sqlite::header(&self.paths.data)?;
        if header.is_some_and(|header| !header.wal_mode) {
            sqlite::ensure_wal_mode(&self.paths.data)?;
        }
        Ok(placed)
    }

    fn keep(&self, epoch: Epoch) -> Result<Placed, LocalError> {
        // Converted before it is stamped: a refusal changes nothing.
        if sqlite::header(&self.paths.data)?.is_some_and(|header| !header.wal_mode) {
            sqlite::ensure_wal_mode(&self.paths.data)?;
        }
        disk::write_record(&self.record("stamp.json"), &Stamp { epoch, clean_txid: None })?;
        Ok(Placed { position: None, set_aside: None })
    }

    fn swap(
        &self,
        aside: bool,
        replica: Option<Position>,
        epoch: Epoch,
    ) -> Result<Placed, LocalError> {
        self.owner()?.apply(&self.paths.replica)?;
        let (mut steps, set_aside) =
            if aside { self.aside_steps(self.shipped())? } else { (Vec::new(), None) };
        steps.extend(leftovers(&self.paths.data));
        steps.extend(self.forget_replica());
        steps.push(self.sync());
        let (from, to) = (self.paths.replica.clone(), self.paths.data.clone());
        steps.push(Step::Replace { from, to });
        steps.push(self.stamp_step(epoch, replica.map(|replica| replica.txid))?);
        steps.push(self.sync());
        self.perform(&steps)?;
        Ok(Placed { position: replica, set_aside })
    }

    fn create(&self, epoch: Epoch) -> Result<Placed, LocalError> {
        let new = self.record("new");
        sqlite::create(&new)?;
        self.owner()?.apply(&new)?;
        let (mut steps, set_aside) = self.aside_steps(None)?;
        steps.extend(leftovers(&self.paths.data));
        steps.push(self.sync());
        steps.push(Step::Replace { from: new, to: self.paths.data.clone() });
        steps.push(self.stamp_step(epoch, None)?);
        steps.push(self.sync());
        self.perform(&steps)?;
        Ok(Placed { position: None, set_aside })
    }

    fn owner(&self) -> Result<Owner, LocalError> {
        Owner::to_be(&self.paths, disk::read_record(&self.record("owner.json"))?)
    }

    /// Remembers who owns the data file, for when it comes back.
    pub(super) fn remember_owner(&self) -> Result<(), LocalError> {
        match Owner::of(&self.paths.data)? {
            Some(owner) => disk::write_record(&self.record("owner.json"), &owner),
            None => Ok(()),
        }
    }

    fn stamp_step(&self, epoch: Epoch, clean_txid: Option<Txid>) -> Result<Step, LocalError> {
        moves::write(&self.record("stamp.json"), &Stamp { epoch, clean_txid })
    }

    /// Notes that the data file is about to be written to under `epoch`: from now on it may hold
    /// what the bucket does not. Before the backend starts.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub fn open_for_writes(&self, epoch: Epoch) -> Result<(), LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        disk::write_record(&self.record("stamp.json"), &Stamp { epoch, clean_txid: None })
    }

    /// The steps that move the data file and what belongs to it away, and where to; none when
    /// there is nothing worth keeping.
    pub(super) fn aside_steps(
        &self,
        shipped: Option<Txid>,
    ) -> Result<(Vec<Step>, Option<PathBuf>), LocalError> {
        let data = &self.paths.data;
        let mut kept = Vec::new();
        for suffix in ["", "-wal", "-journal"] {
            if disk::len(&disk::with_suffix(data, suffix))?.is_some_and(|len| len > 0) {
                kept.push(suffix);
            }
        }
        if kept.is_empty() {
            return Ok((Vec::new(), None));
        }
        self.remember_owner()?;
        let stamp = self.stamp()?;
        let txid = stamp.and_then(|s| s.clean_txid).or(shipped);
        let to = self.free_name(stamp.map_or(Epoch::NONE, |s| s.epoch), txid)?;
        let aside = |suffix| Step::Aside {
            from: disk::with_suffix(data, suffix),
            to: disk::with_suffix(&to, suffix),
        };
        let mut steps: Vec<Step> = kept.into_iter().map(aside).collect();
        steps.push(self.sync());
        Ok((steps, Some(to)))
    }

    /// The replica and its records are about to be something else.
    pub(super) fn forget_replica(&self) -> Vec<Step> {
        self.forget_ahead();
        let mut steps = leftovers(&self.paths.replica);
        steps.push(Step::Remove { path: self.record("position.json") });
        steps.push(Step::Remove { path: self.record("intent.json") });
        steps.push(Step::Remove { path: self.record("reached.json") });
        steps
    }

    pub(super) fn sync(&self) -> Step {
        let mut dirs = vec![disk::parent(&self.paths.data).to_path_buf()];
        let replica = disk::parent(&self.paths.replica).to_path_buf();
        if !dirs.contains(&replica) {
            dirs.push(replica);
        }
        dirs.push(self.state.clone());
        Step::Sync { dirs }
    }
}

/// What may lie beside a database and must not meet another one.
pub(super) fn leftovers(database: &Path) -> Vec<Step> {
    let remove = |suffix| Step::Remove { path: disk::with_suffix(database, suffix) };
    OWN.into_iter().chain(["-shm"]).map(remove).collect()
}
