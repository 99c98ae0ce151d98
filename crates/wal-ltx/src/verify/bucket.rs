//! Where the bucket leads to, when there is nothing to compare it with.

use ccm_types::Epoch;

use super::{VerifyError, VerifyOptions};
use crate::plan::{Restorable, Target};
use crate::restore::Progress;
use crate::restore::bring::{Bringing, Brought};
use crate::restore::work::Work;
use crate::store::LtxStore;

/// The state that a bucket leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Led {
    /// The state.
    pub state: Restorable,
    /// The epoch that wrote the last file of it, when a primary of ccm did.
    pub epoch: Option<Epoch>,
    /// Page size in bytes.
    pub page_size: u32,
    /// Size in pages.
    pub pages: u32,
    /// Bytes that have come from the bucket.
    pub downloaded_bytes: u64,
    /// Files of the bucket that lead there.
    pub files: usize,
}

/// Restores the newest state, has it checked, and removes it.
///
/// # Errors
/// [`VerifyError::Restore`].
pub async fn newest<S: LtxStore>(
    store: &S,
    options: &VerifyOptions,
    report: impl Fn(Progress) + Send + Sync,
) -> Result<Led, VerifyError> {
    let mut work = Work::open(options.dir.clone())?;
    let bringing = Bringing { store, stall: options.stall, report: &report };
    let made = bringing.checked(&mut work, Target::Newest, options.check).await;
    work.remove();
    let Brought { plan, shape, epoch, files, downloaded, .. } = made?;
    Ok(Led {
        state: plan.state,
        epoch,
        page_size: shape.page_size,
        pages: shape.pages,
        downloaded_bytes: downloaded,
        files,
    })
}
