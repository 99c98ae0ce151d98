//! What becomes of a data file that is not served any more: the replica, or a file set aside.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};

use ccm_types::{Epoch, Position, Txid};

use super::moves::{self, Step};
use super::place::leftovers;
use super::{DataFile, Local, LocalError, PositionRecord, Replica, Stamp, disk, sqlite};

/// Between the name of the data file and its position, in the name of one set aside.
const INFIX: &str = ".diverged-e";

/// Files with one position that are told apart.
const ASIDE_MAX: u32 = 10_000;

/// A data file that was set aside because it may hold what the bucket does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverged {
    /// The database; its `-wal`, if it has one, is beside it.
    pub path: PathBuf,
    /// The epoch under which it was served, [`Epoch::NONE`] when it never was.
    pub epoch: Epoch,
    /// The last of its transactions known to be in the bucket.
    pub txid: Option<Txid>,
    /// Size in bytes, with its `-wal`.
    pub bytes: u64,
}

impl Local {
    /// Turns the data file into the replica: all of it is in the bucket up to `at`. The backend
    /// is stopped and capture has ended.
    ///
    /// # Errors
    /// [`LocalError::NoData`], [`LocalError::Busy`] (somebody has it open),
    /// [`LocalError::NotCheckpointed`], and those of [`Local::data`]. The data file stays where
    /// it is, marked clean.
    pub fn retire(&self, at: Position) -> Result<(), LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        let data = &self.paths.data;
        let DataFile::Database { stamp, .. } = self.look_at_data()? else {
            return Err(LocalError::NoData { path: data.clone() });
        };
        let epoch = stamp.map_or(at.epoch, |stamp| stamp.epoch);
        let clean = Stamp { epoch, clean_txid: Some(at.txid) };
        disk::write_record(&self.record("stamp.json"), &clean)?;
        self.remember_owner()?;
        sqlite::checkpoint(data, at.txid)?;
        File::open(data).and_then(|f| f.sync_all()).map_err(LocalError::io("sync", data))?;
        let record = self.record_of_data(at)?;

        let mut steps = leftovers(data);
        steps.extend(self.forget_replica());
        steps.push(self.sync());
        let (from, to) = (data.clone(), self.paths.replica.clone());
        steps.push(Step::Replace { from, to });
        steps.push(moves::write(&self.record("position.json"), &record)?);
        steps.push(Step::Remove { path: self.record("stamp.json") });
        steps.push(self.sync());
        self.perform(&steps)
    }

    fn record_of_data(&self, at: Position) -> Result<PositionRecord, LocalError> {
        let data = &self.paths.data;
        let header = sqlite::header(data)?;
        let (Some(header), Some(len)) = (header, disk::len(data)?) else {
            return Err(LocalError::NoData { path: data.clone() });
        };
        let pages = u32::try_from(len / u64::from(header.page_size));
        let not_sqlite = |_| LocalError::NotSqlite { path: data.clone() };
        let pages = pages.map_err(not_sqlite)?;
        Ok(PositionRecord {
            epoch: at.epoch,
            txid: at.txid,
            page_size: header.page_size,
            pages,
            timestamp_ms: None,
        })
    }

    /// Moves the data file and its `-wal` to a name with its position: it may hold what the
    /// bucket does not. `shipped` is the last of its transactions known to be in the bucket.
    /// Returns the new path; `None` when there was nothing to keep.
    ///
    /// # Errors
    /// [`LocalError::Io`], [`LocalError::Record`].
    pub fn set_aside(&self, shipped: Option<Txid>) -> Result<Option<PathBuf>, LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        let (mut steps, to) = self.aside_steps(shipped)?;
        steps.extend(leftovers(&self.paths.data));
        steps.push(Step::Remove { path: self.record("stamp.json") });
        steps.push(self.sync());
        self.perform(&steps)?;
        Ok(to)
    }

    /// Moves the replica to a name with its position: the bucket has gone on without what it
    /// holds. Returns the new path; `None` when there is no usable replica.
    ///
    /// # Errors
    /// [`LocalError::Io`], [`LocalError::Record`].
    pub fn set_replica_aside(&self) -> Result<Option<PathBuf>, LocalError> {
        let _turn = self.turn();
        self.finish_moves()?;
        self.flush_in_turn()?;
        let Replica::At(record) = self.replica()? else { return Ok(None) };
        let at = record.position();
        let to = self.free_name(at.epoch, Some(at.txid))?;
        let mut steps = vec![Step::Aside { from: self.paths.replica.clone(), to: to.clone() }];
        steps.extend(self.forget_replica());
        steps.push(self.sync());
        self.perform(&steps)?;
        Ok(Some(to))
    }

    /// Whether another file may be set aside when all of them may have `max` bytes. The first one
    /// always may.
    ///
    /// # Errors
    /// [`LocalError::AsideFull`], [`LocalError::Io`].
    pub(crate) fn check_aside(&self, path: &Path, max: Option<u64>) -> Result<(), LocalError> {
        let Some(max) = max else { return Ok(()) };
        let there = beside(&self.paths.data)?;
        let wal = disk::len(&disk::with_suffix(path, "-wal"))?.unwrap_or(0);
        let more = disk::len(path)?.unwrap_or(0) + wal;
        let bytes: u64 = there.iter().map(|file| file.bytes).sum();
        if there.is_empty() || more == 0 || bytes.saturating_add(more) <= max {
            return Ok(());
        }
        let (path, count) = (path.to_path_buf(), there.len());
        Err(LocalError::AsideFull { path, count, bytes, max })
    }

    /// The data files that were set aside and are still there.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub fn diverged(&self) -> Result<Vec<Diverged>, LocalError> {
        beside(&self.paths.data)
    }

    /// Puts the finished rebuild in the place of the replica; the caller has the turn.
    pub(crate) fn install_rebuild(&self, record: &PositionRecord) -> Result<(), LocalError> {
        let mut steps = self.forget_replica();
        steps.push(self.sync());
        let (from, to) = (self.record("rebuild"), self.paths.replica.clone());
        steps.push(Step::Replace { from, to });
        steps.push(moves::write(&self.record("position.json"), record)?);
        steps.push(self.sync());
        self.perform(&steps)
    }

    /// A name that neither a database nor anything beside one has.
    pub(super) fn free_name(
        &self,
        epoch: Epoch,
        txid: Option<Txid>,
    ) -> Result<PathBuf, LocalError> {
        let txid = txid.map_or_else(|| String::from("unknown"), |txid| txid.to_string());
        'names: for n in 1..=ASIDE_MAX {
            let suffix = format!("{INFIX}{epoch}-t{txid}-{n}");
            let path = disk::with_suffix(&self.paths.data, &suffix);
            for suffix in ["", "-wal", "-journal", "-shm"] {
                if disk::exists(&disk::with_suffix(&path, suffix))? {
                    continue 'names;
                }
            }
            return Ok(path);
        }
        let why = "too many files set aside at one position lie beside it: move them away";
        Err(LocalError::BadPath { path: self.paths.data.clone(), why })
    }
}

/// The files set aside beside a data file.
pub(super) fn beside(data: &Path) -> Result<Vec<Diverged>, LocalError> {
    let dir = disk::parent(data);
    let failed = |e| LocalError::io("list", dir)(e);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some((epoch, txid)) = position_in_name(data, &path) else { continue };
        let wal = disk::len(&disk::with_suffix(&path, "-wal"))?;
        let bytes = disk::len(&path)?.unwrap_or(0) + wal.unwrap_or(0);
        found.push(Diverged { path, epoch, txid, bytes });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn position_in_name(data: &Path, path: &Path) -> Option<(Epoch, Option<Txid>)> {
    let data = data.file_name()?.to_str()?;
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix(data)?.strip_prefix(INFIX)?;
    let (epoch, rest) = rest.split_once("-t")?;
    let (txid, n) = rest.split_once('-')?;
    n.parse::<u32>().ok()?;
    let txid = match txid {
        "unknown" => None,
        txid => Some(Txid::new(txid.parse().ok()?)),
    };
    Some((Epoch::new(epoch.parse().ok()?), txid))
}
