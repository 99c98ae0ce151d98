//! Several renames as one: a list of steps, written down before the first one is done.
//!
//! The list is replayed from its beginning after a crash, however far it had come, so every step
//! does nothing when the list has passed it before:
//!
//! - [`Step::Aside`] goes to a name that was free when the list was made: once something has that
//!   name, the step is done.
//! - [`Step::Replace`] is done once its source is gone.
//! - [`Step::Remove`] and [`Step::Write`] come out the same however often they run. What `Remove`
//!   takes is never a name that a later step of the same list gives to something else.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{LocalError, disk};

/// One step of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Renames a file to a new name, if it is there.
    Aside { from: PathBuf, to: PathBuf },
    /// Renames a file over another one.
    Replace { from: PathBuf, to: PathBuf },
    /// Removes a file, if it is there.
    Remove { path: PathBuf },
    /// Writes a record, durably.
    Write { path: PathBuf, record: serde_json::Value },
    /// Makes the names in these directories durable: what comes after never without what was
    /// before.
    Sync { dirs: Vec<PathBuf> },
}

impl Step {
    pub(super) fn run(&self) -> Result<(), LocalError> {
        match self {
            Self::Aside { from, to } => {
                if disk::exists(to)? || !disk::exists(from)? {
                    return Ok(());
                }
                disk::rename(from, to)
            }
            Self::Replace { from, to } => {
                if disk::exists(from)? {
                    disk::rename(from, to)?;
                }
                Ok(())
            }
            Self::Remove { path } => disk::remove(path),
            Self::Write { path, record } => disk::write_record(path, record),
            Self::Sync { dirs } => dirs.iter().try_for_each(|dir| disk::sync_dir(dir)),
        }
    }
}

/// A record as a step.
pub(super) fn write<T: Serialize>(path: &Path, record: &T) -> Result<Step, LocalError> {
    let damaged = |source| LocalError::Record { path: path.to_path_buf(), source };
    let record = serde_json::to_value(record).map_err(damaged)?;
    Ok(Step::Write { path: path.to_path_buf(), record })
}

/// Writes the list down at `plan` and does it.
pub(super) fn perform(plan: &Path, steps: &[Step]) -> Result<(), LocalError> {
    disk::write_record(plan, &steps)?;
    finish(plan)
}

/// Does the list that is written down at `plan`, if there is one.
pub(super) fn finish(plan: &Path) -> Result<(), LocalError> {
    let Some(steps) = disk::read_record::<Vec<Step>>(plan)? else { return Ok(()) };
    for (done, step) in steps.iter().enumerate() {
        crash_point(done)?;
        step.run()?;
    }
    crash_point(steps.len())?;
    disk::remove(plan)?;
    disk::sync_dir(disk::parent(plan))
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "fails in tests")]
fn crash_point(_done: usize) -> Result<(), LocalError> {
    Ok(())
}

#[cfg(test)]
use crash::crash_point;

/// Crashes on purpose.
#[cfg(test)]
pub(super) mod crash {
    use std::cell::Cell;

    use super::{LocalError, Path};

    thread_local! {
        static STOP_AFTER: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// The next lists of this thread fail after this many steps; `None`: never.
    pub(in crate::local) fn stop_after(steps: Option<usize>) {
        STOP_AFTER.set(steps);
    }

    pub(super) fn crash_point(done: usize) -> Result<(), LocalError> {
        if STOP_AFTER.get() == Some(done) {
            let crash = std::io::Error::other("crash on purpose");
            return Err(LocalError::io("go on with", Path::new("the list"))(crash));
        }
        Ok(())
    }
}
