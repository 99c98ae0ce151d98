//! A replica against the bucket, while somebody may be working on it.
//!
//! The state at which the replica is gets restored, and all pages are compared with it once; what
//! the replica has instead is kept. Where the replica was before the first page was read and after
//! the last one is known. The restored state is then brought to the first of these positions,
//! keeping what its pages were, and on, file by file, to the second one: a page is right when it
//! is what the bucket says at one of these states. So it does not matter how fast the replica
//! moves on. A page that is not right three times in a row differs: one that is read while it is
//! written may look like that once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ccm_types::{Position, Txid};
use tokio::time::sleep;

use super::scan::scan;
use super::{VerifyError, VerifyOptions};
use crate::local::{LocalError, PositionRecord, Replica, peek};
use crate::plan::{Restorable, Target, TargetError, restorable};
use crate::restore::bring::{Bringing, Brought, blocking};
use crate::restore::image::{Image, Saved, Shape};
use crate::restore::patience::Patience;
use crate::restore::work::Work;
use crate::restore::{Progress, RestoreError};
use crate::store::{LtxInfo, LtxStore};

/// Times that a page must differ.
const ROUNDS: u32 = 3;

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

/// Where a replica is, or between which transactions.
#[derive(Debug, Clone, Copy)]
struct Span {
    position: Position,
    to: Txid,
}

impl<S: LtxStore> Comparison<'_, S> {
    async fn run(&self, work: &mut Work) -> Result<Compared, VerifyError> {
        let mut brought = self.bring(work).await?;
        self.bringing.check(work, brought.1.shape, self.check).await?;
        let (mut downloaded_bytes, mut files) = (0, 0);
        let mut suspects: Option<BTreeSet<u32>> = None;
        let mut rounds = 0;
        for _ in 0..LOOKS_MAX {
            let (image, at) = brought;
            downloaded_bytes += at.downloaded;
            files += at.files;
            let round = self.round(work, image).await?;
            if let Some((position, shape, found)) = round {
                rounds += 1;
                suspects = Some(match suspects {
                    Some(before) => before.intersection(&found).copied().collect(),
                    None => found,
                });
                let differing = suspects.iter().flatten().copied().collect::<Vec<_>>();
                if differing.is_empty() || rounds == ROUNDS {
                    let Shape { page_size, pages, .. } = shape;
                    let compared =
                        Compared { position, page_size, pages, downloaded_bytes, files, differing };
                    return Ok(compared);
                }
            }
            brought = self.bring(work).await?;
        }
        Err(VerifyError::Moving { times: LOOKS_MAX })
    }

    /// Compares all pages once; `None` when that is not possible at the moment.
    async fn round(
        &self,
        work: &mut Work,
        image: Image,
    ) -> Result<Option<(Position, Shape, BTreeSet<u32>)>, VerifyError> {
        let Some(first) = span(&self.path)? else { return Ok(None) };
        let path = self.path.clone();
        let scanned = blocking(move || {
            let mut saved = Saved::default();
            scan(&image, &path, |pgno, content| saved.insert(pgno, content))?;
            Ok((image, saved))
        });
        let (image, saved) = scanned.await?;
        let Some(last) = span(&self.path)? else { return Ok(None) };
        let at = image.shape().map_or(Txid::ZERO, |shape| shape.txid);
        drop(image);
        let from = first.position.txid;
        if from < at || saved.is_full() {
            return Ok(None);
        }
        let Some((image, brought)) = self.step(work, from, Some(saved)).await? else {
            return Ok(None);
        };
        let (mut image, shape) = (image, brought.shape);
        let Some(mut saved) = image.take_saved().filter(|saved| !saved.is_full()) else {
            return Ok(None);
        };
        loop {
            let failed = LocalError::io("read", &self.path);
            let left = saved.differing(&image).map_err(failed)?;
            saved.retain(&left);
            let at = image.shape().map_or(Txid::ZERO, |shape| shape.txid);
            if left.is_empty() || at >= last.to {
                return Ok(Some((first.position, shape, left.into_iter().collect())));
            }
            let files = self.files().await?;
            let next = restorable(&files).into_iter().map(|state| state.txid).find(|t| *t > at);
            let Some(next) = next else { return Ok(None) };
            let Some((further, _)) = self.step(work, next, None).await? else { return Ok(None) };
            image = further;
        }
    }

    async fn files(&self) -> Result<Vec<LtxInfo>, VerifyError> {
        let ask = async || self.bringing.store.list().await;
        Ok(Patience::new(self.bringing.stall).insist(ask).await?)
    }

    /// Brings the image to a transaction; `None` when that one cannot be told apart any more.
    async fn step(
        &self,
        work: &mut Work,
        to: Txid,
        saved: Option<Saved>,
    ) -> Result<Option<(Image, Brought)>, VerifyError> {
        match self.bringing.to(work, Target::Txid(to), saved).await {
            Ok(brought) => Ok(Some(brought)),
            Err(RestoreError::Target(TargetError::Within { .. })) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Restores the state at which the replica is.
    async fn bring(&self, work: &mut Work) -> Result<(Image, Brought), VerifyError> {
        for _ in 0..LOOKS_MAX {
            let at = still(&self.path).await?;
            match self.step(work, at.txid, None).await {
                Ok(Some(brought)) => return Ok(brought),
                // The bucket has merged the files there: further on there is a state of both.
                Ok(None) => sleep(LOOK_EVERY).await,
                Err(VerifyError::Restore(RestoreError::Target(TargetError::Beyond {
                    tip,
                    at: timestamp_ms,
                    ..
                }))) => {
                    let tip = Restorable { txid: tip, timestamp_ms };
                    return Err(VerifyError::Ahead { at: at.position(), tip });
                }
                Err(error) => return Err(error),
            }
        }
        Err(VerifyError::Moving { times: LOOKS_MAX })
    }
}

/// Where the replica is now; `None` when there is none.
fn span(path: &Path) -> Result<Option<Span>, LocalError> {
    Ok(match peek(path)? {
        Replica::None => None,
        Replica::At(record) => Some(Span { position: record.position(), to: record.txid }),
        Replica::Torn { from, to } => Some(Span { position: from.position(), to }),
    })
}
