//! LTX files out of the store: small ones into memory, large ones into the spool directory.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::apply::{Content, Fetched, Spooled};
use crate::store::{LtxInfo, LtxStore, StoreError};

/// Files larger than this go to disk.
const MEMORY_MAX: u64 = 4 << 20;

/// Downloads at a time.
const CONCURRENCY: usize = 8;

/// Makes the names in the spool directory unique.
static SPOOLED: AtomicU64 = AtomicU64::new(0);

/// A name in the spool directory that nobody else uses.
pub(super) fn spooled(spool: &Path) -> Spooled {
    let n = SPOOLED.fetch_add(1, Ordering::Relaxed);
    Spooled::new(spool.join(format!("{n}.ltx")))
}

/// Whether a file goes to disk.
pub(super) fn is_large(info: &LtxInfo) -> bool {
    info.size > MEMORY_MAX
}

/// Downloads one file.
pub(super) async fn one<S: LtxStore>(
    store: &S,
    spool: &Path,
    info: LtxInfo,
) -> Result<Fetched, StoreError> {
    let content = if is_large(&info) {
        let file = spooled(spool);
        store.get_to_file(info.name, file.path()).await?;
        Content::Spooled(file)
    } else {
        Content::Memory(store.get(info.name).await?)
    };
    Ok(Fetched { info, content })
}

/// Downloads a batch, several files at a time; in the order given.
pub(super) async fn all<S: LtxStore>(
    store: &S,
    spool: &Path,
    batch: Vec<LtxInfo>,
) -> Result<Vec<Fetched>, StoreError> {
    let downloads: Vec<_> = batch.into_iter().map(|info| one(store, spool, info)).collect();
    stream::iter(downloads).buffered(CONCURRENCY).try_collect().await
}
