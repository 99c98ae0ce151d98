//! One compaction: inputs downloaded, merged and stored.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{self, CompactError};
use super::{CompactConfig, fetch};
use crate::apply::{Content, Spooled};
use crate::codec::{LtxHeader, MergeError, merge};
use crate::store::{Body, Fence, LtxInfo, LtxName, LtxStore};

/// Inputs that are merged at a time: each takes a page or two of memory, and may take a file
/// descriptor.
const FAN_IN: usize = 256;

/// Bytes of inputs up to which the result is made in memory.
const MEMORY_MAX: u64 = 4 << 20;

/// Written at once to a file in the spool.
const BUFFER: usize = 1 << 20;

/// A merged file and what its header says.
struct Merged {
    content: Content,
    header: LtxHeader,
}

/// Makes `name` of its inputs, oldest first, and stores it.
pub(super) async fn compact<S: LtxStore>(
    store: &S,
    fence: Fence,
    config: &CompactConfig,
    (name, inputs): (LtxName, &[LtxInfo]),
    tracker: &TaskTracker,
) -> Result<u64, CompactError> {
    let job = Job { spool: config.spool.clone(), name, tracker };
    let small = inputs.iter().map(|input| input.size).sum::<u64>() <= MEMORY_MAX;
    let mut parts = Vec::new();
    for group in inputs.chunks(FAN_IN) {
        let contents = fetch::all(store, &config.spool, group).await?;
        let merged = job.merge(contents, small).await;
        parts.push(merged.map_err(|error| named(error, group))?);
    }
    while parts.len() > 1 {
        let mut fewer = Vec::new();
        let mut rest = parts.into_iter().map(|part| part.content).peekable();
        while rest.peek().is_some() {
            let group: Vec<Content> = rest.by_ref().take(FAN_IN).collect();
            fewer.push(job.merge(group, small).await?);
        }
        parts = fewer;
    }
    let nothing = || CompactError::Merge { name, source: MergeError::Nothing };
    let Merged { content, header } = parts.pop().ok_or_else(nothing)?;
    if (header.min, header.max) != (name.min, name.max) {
        return Err(CompactError::Unfit { name });
    }
    let body = match &content {
        Content::Memory(bytes) => Body::Bytes(bytes.clone()),
        Content::Spooled(file) => Body::File(file.path().to_path_buf()),
    };
    let bytes = size(&content)?;
    store.put(fence, name, header.timestamp_ms, body).await?;
    Ok(bytes)
}

/// Says which file it is that is not sound.
fn named(error: CompactError, inputs: &[LtxInfo]) -> CompactError {
    let input = match &error {
        CompactError::Merge { source: MergeError::Input { index, .. }, .. } => inputs.get(*index),
        CompactError::Merge { .. }
        | CompactError::Store(_)
        | CompactError::Damaged { .. }
        | CompactError::Unfit { .. }
        | CompactError::File { .. }
        | CompactError::Interrupted => None,
    };
    match (error, input) {
        (CompactError::Merge { source, .. }, Some(input)) => {
            CompactError::Damaged { name: input.name, source }
        }
        (error, _) => error,
    }
}

fn size(content: &Content) -> Result<u64, CompactError> {
    match content {
        Content::Memory(bytes) => Ok(bytes.len() as u64),
        Content::Spooled(file) => {
            let meta = std::fs::metadata(file.path());
            Ok(meta.map_err(error::file("look at", file.path()))?.len())
        }
    }
}

struct Job<'a> {
    spool: PathBuf,
    name: LtxName,
    tracker: &'a TaskTracker,
}

impl Job<'_> {
    /// Merges on a thread of its own, which ends when nobody waits for it any more.
    async fn merge(&self, inputs: Vec<Content>, small: bool) -> Result<Merged, CompactError> {
        let ended = CancellationToken::new();
        let _ends = ended.clone().drop_guard();
        let (spool, name) = (self.spool.clone(), self.name);
        let work = move || {
            if small {
                let (bytes, header) = write(&inputs, name, Vec::new(), ended)?;
                return Ok(Merged { content: Content::Memory(bytes.into()), header });
            }
            let file = fetch::spooled(&spool);
            let header = write_file(&inputs, name, &file, ended)?;
            Ok(Merged { content: Content::Spooled(file), header })
        };
        let done = self.tracker.spawn_blocking(work).await;
        done.unwrap_or(Err(CompactError::Interrupted))
    }
}

fn write_file(
    inputs: &[Content],
    name: LtxName,
    to: &Spooled,
    ended: CancellationToken,
) -> Result<LtxHeader, CompactError> {
    let path: &Path = to.path();
    let file = File::create(path).map_err(error::file("create", path))?;
    let (file, header) = write(inputs, name, BufWriter::with_capacity(BUFFER, file), ended)?;
    // No fsync: whatever is in the spool is made again after a crash.
    file.into_inner().map_err(|e| error::file("write", path)(e.into_error()))?;
    Ok(header)
}

fn write<W: Write>(
    inputs: &[Content],
    name: LtxName,
    to: W,
    ended: CancellationToken,
) -> Result<(W, LtxHeader), CompactError> {
    let inputs = inputs.iter().map(fetch::open).collect::<Result<Vec<_>, _>>()?;
    let failed = |source| CompactError::Merge { name, source };
    let (to, header) = merge(inputs, UntilEnded { to, ended }).map_err(failed)?;
    Ok((to.to, header))
}

/// A writer that fails when the work is not wanted any more.
struct UntilEnded<W> {
    to: W,
    ended: CancellationToken,
}

impl<W: Write> Write for UntilEnded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended.is_cancelled() {
            return Err(io::Error::other("the work was given up"));
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
