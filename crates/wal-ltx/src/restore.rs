//! A database out of the bucket into a file of its own: the newest state, or an earlier one.
//!
//! [`preview`] says what would be fetched; [`restore`] does it. The database is made in
//! `<output>.ccm-restore/`, checked there, and gets its name in one step at the end: whatever
//! happens, there is nothing at the output or all of it. Nothing that exists is ever replaced.
//!
//! An attempt that was cut short, by the network or by a kill, is gone on from: files that are in
//! the database are not fetched again, a large one goes on where its download stopped. When the
//! bucket is another one, or the state lies before what is in the database, it begins again.
//!
//! Before anything is downloaded it is made sure that there is room for the database and for the
//! largest object, less what an earlier attempt has left of them.
//!
//! Only reads the bucket: it needs no daemon, and disturbs none.
//!
//! Bounds: 32 MiB of small files in memory, three pieces of 8 MiB of a large one; eight downloads
//! at a time; 20 plans when files are replaced meanwhile; [`RestoreOptions::stall`] without a
//! byte. On disk: the database and the largest object.

pub(crate) mod bring;
pub(crate) mod check;
pub(crate) mod download;
mod error;
pub(crate) mod image;
pub(crate) mod patience;
pub(crate) mod pipe;
mod resume;
pub(crate) mod room;
pub(crate) mod work;

use std::path::PathBuf;
use std::time::Duration;

use ccm_types::{Epoch, Txid};

pub use error::RestoreError;

use bring::{Bringing, blocking};
use patience::Patience;
use work::Work;

use crate::plan::{Restorable, RestorePlan, Target, plan_to};
use crate::store::LtxStore;

/// Nothing has come for so long: an election of NATS and a reconnect take less.
const STALL: Duration = Duration::from_secs(60);

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The file to make.
    pub output: PathBuf,
    /// The state.
    pub target: Target,
    /// Have SQLite check the result (`PRAGMA quick_check`).
    pub check: bool,
    /// Give up when nothing has come from the bucket for so long.
    pub stall: Duration,
}

impl RestoreOptions {
    /// The newest state, checked; gives up after a minute without a byte.
    #[must_use]
    pub fn new(output: PathBuf) -> Self {
        Self { output, target: Target::Newest, check: true, stall: STALL }
    }
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Files are fetched and applied.
    Fetching {
        /// Bytes that are here.
        done_bytes: u64,
        /// Bytes that are needed.
        total_bytes: u64,
    },
    /// SQLite reads the database.
    Checking,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The state.
    pub state: Restorable,
    /// The epoch that wrote the last file of it, when a primary of ccm did.
    pub epoch: Option<Epoch>,
    /// A later transaction that fits what was wanted too, but that no files lead to.
    pub unreachable: Option<Txid>,
    /// Page size in bytes.
    pub page_size: u32,
    /// Size of the database in pages.
    pub pages: u32,
    /// Files of the bucket that this attempt has applied.
    pub files: usize,
    /// Bytes that this attempt has downloaded.
    pub downloaded_bytes: u64,
    /// An earlier attempt was gone on from.
    pub resumed: bool,
}

impl Restored {
    /// Size of the database in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.page_size) * u64::from(self.pages)
    }
}

/// What a restore to this state would fetch, were it to begin now.
///
/// # Errors
/// [`RestoreError::Target`], [`RestoreError::Stalled`], [`RestoreError::Store`], and those of an
/// output that cannot be.
pub async fn preview<S: LtxStore>(
    store: &S,
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    work::check_free(&options.output)?;
    let files = Patience::new(options.stall).insist(async || store.list().await).await?;
    Ok(plan_to(&files, Txid::ZERO, options.target)?)
}

/// Restores the database. Going on after an error goes on where it stopped.
///
/// # Errors
/// [`RestoreError`]; there is nothing at the output then.
pub async fn restore<S: LtxStore>(
    store: &S,
    options: &RestoreOptions,
    report: impl Fn(Progress) + Send + Sync,
) -> Result<Restored, RestoreError> {
    let output = options.output.clone();
    let mut work = blocking(move || {
        work::check_free(&output)?;
        let work = Work::open(work::directory(&output))?;
        // Another restore may have ended while this one took its turn.
        work::check_free(&output)?;
        Ok(work)
    })
    .await?;
    let bringing = Bringing { store, stall: options.stall, report: &report };
    let made = bringing.checked(&mut work, options.target, options.check).await;
    let output = options.output.clone();
    let placed = blocking(move || match made {
        Ok(brought) => work.place(&output).map(|()| brought),
        Err(error) => {
            work.leave();
            Err(error)
        }
    });
    let brought = placed.await?;
    let shape = brought.shape;
    Ok(Restored {
        state: brought.plan.state,
        epoch: brought.epoch,
        unreachable: brought.plan.unreachable,
        page_size: shape.page_size,
        pages: shape.pages,
        files: brought.files,
        downloaded_bytes: brought.downloaded,
        resumed: brought.resumed,
    })
}
