//! The directory in which a database is made, until it is whole.
//!
//! ```text
//! lock            held while somebody works here
//! database        what is being made
//! progress.json   how far it is on disk
//! now.json        how far it is, for as long as the host runs
//! object.ltx      a large object on its way
//! object.json     how much of it is here
//! ```

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::RestoreError;
use super::image::Image;
use super::resume::{Next, Record};
use crate::local::LocalError;
use crate::local::disk::{
    exists, parent, read_record, remove, replace_record, sync_dir, with_suffix, write_record,
};
use crate::plan::{RestorePlan, Target};
use crate::store::LtxInfo;

/// Permissions of the directory: the database holds what the cluster's does.
const MODE: u32 = 0o700;

/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How far the database is on disk.
const ON_DISK: &str = "progress.json";

/// How far it is in memory too.
const NOW: &str = "now.json";

/// Everything that may be in the directory.
const CONTENT: [&str; 9] = [
    "database",
    ON_DISK,
    "progress.json.tmp",
    NOW,
    "now.json.tmp",
    "object.ltx",
    "object.json",
    "object.json.tmp",
    "lock",
];

/// A work directory that this process holds. Blocks.
#[derive(Debug)]
pub(crate) struct Work {
    dir: PathBuf,
    record: Option<Record>,
    boot: Option<String>,
    lock: Arc<File>,
}

impl Work {
    /// Takes the directory, which is made if it is not there.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, RestoreError> {
        let above = parent(&dir).to_path_buf();
        match fs::DirBuilder::new().mode(MODE).create(&dir) {
            Ok(()) => sync_dir(&above)?,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(LocalError::NoDirectory { path: above }.into());
            }
            Err(e) => return Err(LocalError::io("create", &dir)(e).into()),
        }
        let path = dir.join("lock");
        let mut options = File::options();
        let opened = options.create(true).truncate(false).write(true).open(&path);
        let lock = opened.map_err(LocalError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RestoreError::InUse { path: dir }),
            Err(TryLockError::Error(e)) => return Err(LocalError::io("lock", &path)(e).into()),
        }
        let boot = boot();
        let record = match read(&dir.join(NOW))?.filter(|record| record.boot == boot) {
            Some(record) => Some(record),
            None => read(&dir.join(ON_DISK))?.filter(|record| record.boot.is_none()),
        };
        let record = record.filter(|_| dir.join("database").is_file());
        Ok(Self { dir, record, boot, lock: Arc::new(lock) })
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("database")
    }

    /// Where a large object goes, and the record of it.
    pub(super) fn object(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("object.ltx"), self.dir.join("object.json"))
    }

    /// Keeps the directory held for as long as somebody writes to it.
    fn hold(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Writes down how far the database is. Durable when it returns if the database is.
    pub(super) fn note(&mut self, record: Record, durable: bool) -> Result<(), LocalError> {
        if durable {
            let record = Record { boot: None, ..record };
            write_record(&self.dir.join(ON_DISK), &record)?;
            remove(&self.dir.join(NOW))?;
            self.record = Some(record);
        } else if self.boot.is_some() {
            let record = Record { boot: self.boot.clone(), ..record };
            replace_record(&self.dir.join(NOW), &record)?;
            self.record = Some(record);
        }
        Ok(())
    }

    /// The database to work on and what it needs, going on from an earlier attempt if that counts.
    pub(super) fn take_up(
        &mut self,
        files: &[LtxInfo],
        target: Target,
    ) -> Result<(Image, RestorePlan), RestoreError> {
        match super::resume::next(self.record.as_ref(), files, target)? {
            Next::GoOn(plan) => {
                let shape = self.record.as_ref().map(Record::shape);
                let image = match shape {
                    Some(shape) => Image::open(&self.database(), self.hold(), shape)?,
                    None => Image::create(&self.database(), self.hold())?,
                };
                Ok((image, plan))
            }
            Next::Begin(plan) => {
                self.record = None;
                remove(&self.dir.join(ON_DISK))?;
                remove(&self.dir.join(NOW))?;
                sync_dir(&self.dir)?;
                Ok((Image::create(&self.database(), self.hold())?, plan))
            }
        }
    }

    /// Gives the database its name, durably and in one step, and removes the directory.
    pub(super) fn place(self, output: &Path) -> Result<(), RestoreError> {
        check_free(output)?;
        let from = self.database();
        match renameat_with(CWD, &from, CWD, output, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(RestoreError::Exists { path: output.into() }),
            // Not every file system can refuse to replace.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::rename(&from, output).map_err(LocalError::io("rename", &from))?;
            }
            Err(e) => return Err(LocalError::io("rename", &from)(e.into()).into()),
        }
        sync_dir(parent(output))?;
        self.remove();
        Ok(())
    }

    /// Lets go of the directory; removes it when there is nothing in it to go on from.
    pub(super) fn leave(self) {
        if self.record.is_none() && !self.dir.join("object.json").exists() {
            self.remove();
        }
    }

    /// Removes the directory and what is in it. What cannot be removed is only in the way.
    pub(crate) fn remove(self) {
        clear(&self.dir);
    }
}

/// A record that is only here to save work: one that cannot be read is none.
fn read(path: &Path) -> Result<Option<Record>, LocalError> {
    match read_record(path) {
        Err(LocalError::Record { .. }) => Ok(None),
        read => read,
    }
}

/// Which boot of this host this is; what a process has written outlives it until the next one
/// (proc_sys_kernel(5)).
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(String::from(id.trim())).filter(|id| !id.is_empty())
}

fn clear(dir: &Path) {
    for name in CONTENT {
        fs::remove_file(dir.join(name)).ok();
    }
    if let Err(error) = fs::remove_dir(dir) {
        tracing::debug!(%error, path = %dir.display(), "a work directory stays");
    }
}

/// The work directory for an output.
pub(super) fn directory(output: &Path) -> PathBuf {
    with_suffix(output, ".ccm-restore")
}

/// Refuses an output that is there, or beside which something of another database is, or whose
/// directory is not there.
pub(super) fn check_free(output: &Path) -> Result<(), RestoreError> {
    let above = parent(output);
    if !exists(above)? {
        return Err(LocalError::NoDirectory { path: above.to_path_buf() }.into());
    }
    if exists(output)? {
        let work = directory(output);
        if exists(&work.join("lock"))? && !exists(&work.join("database"))? {
            // An earlier attempt was ended after its last step but one.
            clear(&work);
        }
        return Err(RestoreError::Exists { path: output.to_path_buf() });
    }
    for suffix in BESIDE {
        let path = with_suffix(output, suffix);
        if exists(&path)? {
            return Err(RestoreError::Remains { path });
        }
    }
    Ok(())
}
