//! The inputs of a compaction: small ones in memory, as long as there is room, others in the
//! spool.

use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::error::{self, CompactError};
use crate::apply::{Content, Spooled};
use crate::store::{LtxInfo, LtxStore};

/// Bytes of inputs that are in memory at a time.
const MEMORY_MAX: u64 = 32 << 20;

/// Downloads at a time.
const CONCURRENCY: usize = 4;

/// Read at once from a file in the spool.
const BUFFER: usize = 32 << 10;

/// How names in the spool begin.
const SPOOLED: &str = "compact-";

/// Makes names in the spool unique.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A name in the spool that nobody else uses.
pub(super) fn spooled(spool: &Path) -> Spooled {
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    Spooled::new(spool.join(format!("{SPOOLED}{}-{n}.ltx", std::process::id())))
}

/// Removes what an earlier compactor has left in the spool.
pub(super) async fn clear(spool: &Path) -> Result<(), CompactError> {
    let mut entries = tokio::fs::read_dir(spool).await.map_err(error::file("list", spool))?;
    while let Some(entry) = entries.next_entry().await.map_err(error::file("list", spool))? {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(SPOOLED)) {
            let path = entry.path();
            match tokio::fs::remove_file(&path).await {
                // Whoever has it still at work removes it, too.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(error::file("remove", &path))?,
            }
        }
    }
    Ok(())
}

/// Downloads files; in the order given.
pub(super) async fn all<S: LtxStore>(
    store: &S,
    spool: &Path,
    files: &[LtxInfo],
) -> Result<Vec<Content>, CompactError> {
    let mut room = MEMORY_MAX;
    let downloads: Vec<_> = files
        .iter()
        .map(|info| {
            let fits = info.size <= room;
            room -= if fits { info.size } else { 0 };
            (info.name, fits)
        })
        .map(|(name, fits)| async move {
            if fits {
                return Ok::<_, CompactError>(Content::Memory(store.get(name).await?));
            }
            let file = spooled(spool);
            store.get_to_file(name, file.path()).await?;
            Ok(Content::Spooled(file))
        })
        .collect();
    stream::iter(downloads).buffered(CONCURRENCY).try_collect().await
}

/// Something to read the content from.
pub(super) fn open(content: &Content) -> Result<Box<dyn Read + '_>, CompactError> {
    Ok(match content {
        Content::Memory(bytes) => Box::new(Cursor::new(bytes)),
        Content::Spooled(file) => {
            let opened = File::open(file.path()).map_err(error::file("open", file.path()))?;
            Box::new(BufReader::with_capacity(BUFFER, opened))
        }
    })
}
