//! A damaged file that a sound snapshot has made superfluous.

use std::path::Path;

use super::{CompactError, fetch};
use crate::store::{Fence, Level, LtxInfo, LtxName, LtxStore, StoreError};

/// Deletes a damaged file when a snapshot that ends no earlier can be read back as it was stored;
/// whether it has.
pub(super) async fn heal<S: LtxStore>(
    store: &S,
    fence: Fence,
    damaged: LtxName,
    spool: &Path,
) -> Result<bool, CompactError> {
    let files = store.list().await?;
    let Some(file) = files.iter().find(|file| file.name == damaged) else { return Ok(false) };
    let Some(snapshot) = successor(&files, damaged) else { return Ok(false) };
    // The digest of what comes is compared with that of what was stored.
    let copy = fetch::spooled(spool);
    match store.get_to_file(snapshot.name, copy.path()).await {
        Ok(()) => {}
        Err(error @ StoreError::Damaged { .. }) => {
            let name = snapshot.name;
            let error = error.to_string();
            tracing::warn!(%name, %error, "the newest snapshot is damaged, too: nothing goes");
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    drop(copy);
    tracing::warn!(
        name = %damaged,
        epoch = file.epoch.map(ccm_types::Epoch::get),
        bytes = file.size,
        snapshot = %snapshot.name,
        "a damaged file is deleted from the bucket: a later snapshot was read back and is sound; \
         what lies between the last sound file before it and that snapshot cannot be restored by \
         time"
    );
    store.delete(fence, damaged).await?;
    Ok(true)
}

/// The newest snapshot, when it holds what the damaged file held.
fn successor(files: &[LtxInfo], damaged: LtxName) -> Option<&LtxInfo> {
    let snapshots = files.iter().filter(|file| file.name.level == Level::SNAPSHOT);
    let newest = snapshots.max_by_key(|file| file.name.max)?;
    (newest.name != damaged && newest.name.max >= damaged.max).then_some(newest)
}

#[cfg(test)]
mod tests {
    use ccm_types::Txid;

    use super::*;

    #[test]
    fn only_the_newest_snapshot_that_holds_the_damaged_file_will_do() {
        let file = |level, min, max| {
            let level = Level::new(level).unwrap();
            let name = LtxName { level, min: Txid::new(min), max: Txid::new(max) };
            LtxInfo { name, size: 1, timestamp_ms: 1, epoch: None }
        };
        let files = [file(9, 1, 3), file(0, 4, 4), file(0, 5, 5), file(9, 1, 5), file(0, 6, 6)];
        let to = |at: usize| successor(&files, files[at].name).map(|file| file.name.max.get());
        assert_eq!([to(0), to(1), to(2)], [Some(5), Some(5), Some(5)]);
        assert_eq!([to(3), to(4)], [None, None], "itself, and one that ends earlier");
    }
}
