//! A replica against the bucket, while somebody may be working on it.
//!
//! All pages are compared once with the restored state. Those that differ are suspects. Then the
//! restored state is brought to where the replica is by now; the pages that this writes are
//! suspects too; and only the suspects are compared again, until the replica stands still for as
//! long as that takes. What differs then differs.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ccm_types::Position;
use tokio::time::sleep;

use super::{VerifyError, VerifyOptions};
use crate::codec::lock_page;
use crate::local::{LocalError, PositionRecord, Replica, peek};
use crate::plan::{Target, TargetError};
use crate::restore::bring::{Bringing, Brought, blocking};
use crate::restore::image::Image;
use crate::restore::work::Work;
use crate::restore::{Progress, RestoreError};
use crate::store::LtxStore;

/// Looks at a replica that is always on its way.
const LOOKS_MAX: u32 = 200;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a comparison has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Where the replica is.
    pub position: Position,
    /// Page size in bytes.
    pub page_size: u32,
    /// Pages of the state that the bucket leads to.
    pub pages: u32,
    /// Bytes that have come from the bucket.
    pub downloaded_bytes: u64,
    /// Files of the bucket that lead there.
    pub files: usize,
    /// The pages that differ, in order; none when the replica is what it should be.
    pub differing: Vec<u32>,
}

/// Compares the replica with the state that the bucket leads to at its position.
///
/// # Errors
/// [`VerifyError`].
pub async fn replica<S: LtxStore>(
    store: &S,
    path: &Path,
    options: &VerifyOptions,
    report: impl Fn(Progress) + Send + Sync,
) -> Result<Compared, VerifyError> {
    still(path).await?;
    let mut work = Work::open(options.dir.clone())?;
    let comparison = Comparison {
        bringing: Bringing { store, stall: options.stall, report: &report },
        path: path.to_path_buf(),
        check: options.check,
    };
    let compared = comparison.run(&mut work).await;
    work.remove();
    compared
}

/// The replica, once it is in a state.
async fn still(path: &Path) -> Result<PositionRecord, VerifyError> {
    let mut from = None;
    for _ in 0..LOOKS_MAX {
        match peek(path)? {
            Replica::At(record) => return Ok(record),
            Replica::Torn { from: record, .. } => from = Some(record.txid),
            Replica::None => return Err(VerifyError::NoReplica { path: path.to_path_buf() }),
        }
        sleep(LOOK_EVERY).await;
    }
    let path = path.to_path_buf();
    Err(match from {
        Some(from) => VerifyError::Torn { path, from },
        None => VerifyError::NoReplica { path },
    })
}

struct Comparison<'a, S> {
    bringing: Bringing<'a, S>,
    path: PathBuf,
    check: bool,
}

impl<S: LtxStore> Comparison<'_, S> {
    async fn run(&self, work: &mut Work) -> Result<Compared, VerifyError> {
        let (mut image, mut brought) = self.bring(work).await?;
        self.bringing.check(work, brought.shape, self.check).await?;
        let mut suspects: Option<BTreeSet<u32>> = None;
        let mut downloaded_bytes = brought.downloaded;
        let mut files = brought.files;
        for _ in 0..LOOKS_MAX {
            let before = still(&self.path).await?;
            if before.txid != brought.shape.txid {
                (image, brought) = self.bring(work).await?;
                downloaded_bytes += brought.downloaded;
                files += brought.files;
                if let Some(suspects) = &mut suspects {
                    suspects.extend(image.take_touched());
                }
            }
            let differing;
            (image, differing) = compare(image, &self.path, suspects.take()).await?;
            let same = matches!(peek(&self.path)?, Replica::At(after) if after == before);
            if same && before.txid == brought.shape.txid {
                return Ok(Compared {
                    position: before.position(),
                    page_size: brought.shape.page_size,
                    pages: brought.shape.pages,
                    downloaded_bytes,
                    files,
                    differing: differing.into_iter().collect(),
                });
            }
            suspects = Some(differing);
            sleep(LOOK_EVERY).await;
        }
        Err(VerifyError::Moving { times: LOOKS_MAX })
    }

    /// Restores the state at which the replica is.
    async fn bring(&self, work: &mut Work) -> Result<(Image, Brought), VerifyError> {
        let mut last = None;
        for _ in 0..LOOKS_MAX {
            let at = still(&self.path).await?;
            match self.bringing.to(work, Target::Txid(at.txid), true).await {
                Ok(brought) => return Ok(brought),
                Err(RestoreError::Target(TargetError::Beyond { tip, at: time, .. })) => {
                    let tip = crate::plan::Restorable { txid: tip, timestamp_ms: time };
                    return Err(VerifyError::Ahead { at: at.position(), tip });
                }
                // The bucket has merged the files there: further on there is a state of both.
                Err(error @ RestoreError::Target(TargetError::Within { .. })) => {
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
            sleep(LOOK_EVERY).await;
        }
        Err(last.map_or(VerifyError::Moving { times: LOOKS_MAX }, VerifyError::from))
    }
}

/// The pages that differ among the suspects, or among all.
async fn compare(
    image: Image,
    path: &Path,
    suspects: Option<BTreeSet<u32>>,
) -> Result<(Image, BTreeSet<u32>), VerifyError> {
    let path = path.to_path_buf();
    let compared = blocking(move || {
        let differing = differing(&image, &path, suspects)?;
        Ok((image, differing))
    });
    Ok(compared.await?)
}

/// Compares pages of an image with those of another database of the same page size.
pub(super) fn differing(
    image: &Image,
    path: &Path,
    suspects: Option<BTreeSet<u32>>,
) -> Result<BTreeSet<u32>, LocalError> {
    let Some(shape) = image.shape() else { return Ok(BTreeSet::new()) };
    let failed = |e| LocalError::io("read", path)(e);
    let file = File::open(path).map_err(failed)?;
    let pages = file.metadata().map_err(failed)?.len().div_ceil(u64::from(shape.page_size));
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    let lock = lock_page(shape.page_size);
    let mut found = BTreeSet::new();
    let (low, high) = (pages.min(shape.pages), pages.max(shape.pages));
    // A page that only one of them has is one that differs.
    found.extend((low + 1..=high).filter(|pgno| *pgno != lock));
    let mut ours = vec![0; shape.page_size as usize];
    let mut theirs = ours.clone();
    let mut look = |pgno: u32| -> Result<(), LocalError> {
        let there = image.read_page(pgno, &mut ours).map_err(failed)?;
        let at = (u64::from(pgno) - 1) * u64::from(shape.page_size);
        let read = file.read_exact_at(&mut theirs, at);
        if !there || read.is_err() || ours != theirs {
            found.insert(pgno);
        }
        Ok(())
    };
    match suspects {
        Some(suspects) => {
            suspects.into_iter().filter(|p| *p <= low && *p != lock).try_for_each(&mut look)?;
        }
        None => (1..=low).filter(|pgno| *pgno != lock).try_for_each(&mut look)?,
    }
    Ok(found)
}
