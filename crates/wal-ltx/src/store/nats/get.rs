//! Objects out of the bucket, digest checked.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::Bucket;
use super::api::{Batch, Failure};
use super::layout::{Meta, digest_text};
use crate::store::{LtxName, StoreError};

/// Chunks per batch. Many, because a stock Litestream writes chunks of a few bytes.
const BATCH_CHUNKS: usize = 1024;

/// Bytes per batch.
const BATCH_BYTES: usize = 8 << 20;

/// Memory taken at once for an object whose size is only claimed so far.
const RESERVE_MAX: usize = 64 << 20;

/// Where content goes.
enum Sink<'a> {
    Memory(BytesMut),
    File(File, &'a Path),
}

impl Sink<'_> {
    async fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Memory(content) => content.extend_from_slice(chunk),
            Self::File(file, path) => {
                file.write_all(chunk).await.map_err(|e| file_error(path, e))?;
            }
        }
        Ok(())
    }
}

fn file_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::File { path: path.to_path_buf(), source }
}

impl Bucket {
    /// The whole content.
    pub(super) async fn get(&self, name: LtxName) -> Result<Bytes, StoreError> {
        let mut sink = Sink::Memory(BytesMut::new());
        self.get_into(name, &mut sink).await?;
        match sink {
            Sink::Memory(content) => Ok(content.freeze()),
            Sink::File(..) => Ok(Bytes::new()),
        }
    }

    /// The whole content into a file, fsynced; no file stays behind when it fails.
    pub(super) async fn get_to_file(&self, name: LtxName, path: &Path) -> Result<(), StoreError> {
        let file = File::create(path).await.map_err(|e| file_error(path, e))?;
        let mut sink = Sink::File(file, path);
        let got = match self.get_into(name, &mut sink).await {
            Ok(()) => match &mut sink {
                Sink::File(file, path) => file.sync_all().await.map_err(|e| file_error(path, e)),
                Sink::Memory(_) => Ok(()),
            },
            Err(error) => Err(error),
        };
        if got.is_err() {
            tokio::fs::remove_file(path).await.ok();
        }
        got
    }

    /// Reads with the metadata of the last listing, and again with the leader's when that one
    /// leads nowhere: the object may have been deleted or replaced since.
    async fn get_into(&self, name: LtxName, sink: &mut Sink<'_>) -> Result<(), StoreError> {
        let known = self.remembered(name);
        if let Some(meta) = &known {
            match self.read_content(meta, sink).await {
                Err(StoreError::Damaged { .. }) => {}
                done => return done,
            }
        }
        let Some(meta) = self.meta(name).await? else {
            return Err(StoreError::NotFound { name });
        };
        self.read_content(&meta, sink).await
    }

    async fn read_content(&self, meta: &Meta, sink: &mut Sink<'_>) -> Result<(), StoreError> {
        let name = meta.info.name;
        let damaged = |why: String| Err(StoreError::Damaged { name, why });
        restart(sink, meta.info.size).await?;
        let mut hash = Sha256::new();
        let (mut size, mut chunks, mut seq) = (0, 0, 1);
        while chunks < meta.chunks {
            let read = self.next_chunks(meta, seq, meta.chunks - chunks).await?;
            let Some((last, _)) = read.last() else {
                let why = format!("only {chunks} of {} chunks are there", meta.chunks);
                return damaged(why);
            };
            seq = last + 1;
            for (_, chunk) in &read {
                chunks += 1;
                size += chunk.len() as u64;
                if chunks > meta.chunks || size > meta.info.size {
                    return damaged(format!("it is larger than {} bytes", meta.info.size));
                }
                hash.update(chunk);
                sink.write(chunk).await?;
            }
        }
        if size != meta.info.size {
            return damaged(format!("{size} bytes instead of {}", meta.info.size));
        }
        let digest = digest_text(hash);
        if digest != meta.digest {
            return damaged(format!("digest {digest} instead of {}", meta.digest));
        }
        Ok(())
    }

    /// Chunks from stream sequence `seq` on: a batch from any replica, or one from the leader
    /// when that replica has none; empty when the leader has none either.
    pub(super) async fn next_chunks(
        &self,
        meta: &Meta,
        seq: u64,
        left: u64,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let subject = self.layout.chunks(&meta.nuid);
        let batch = Batch {
            seq,
            next_by_subj: &subject,
            // One more than needed, so that an object with too many chunks is seen, and because
            // a batch of one is answered without an end marker.
            batch: usize::try_from(left).unwrap_or(BATCH_CHUNKS).min(BATCH_CHUNKS) + 1,
            max_bytes: BATCH_BYTES,
        };
        let failed = |f: Failure| f.reading(format!("{}", meta.info.name));
        let read = match self.api.batch(&self.layout.stream, &batch).await {
            Ok(read) => read,
            Err(Failure::NotSent(_)) => Vec::new(),
            Err(failure) => return Err(failed(failure)),
        };
        if !read.is_empty() {
            return Ok(read.into_iter().map(|m| (m.sequence, m.payload)).collect());
        }
        let query = json!({ "seq": seq, "next_by_subj": subject });
        let one = self.api.message(&self.layout.stream, query).await.map_err(failed)?;
        Ok(one.into_iter().map(|m| (m.sequence, m.payload)).collect())
    }
}

/// Forgets what an earlier attempt has written.
async fn restart(sink: &mut Sink<'_>, size: u64) -> Result<(), StoreError> {
    match sink {
        Sink::Memory(content) => {
            content.clear();
            content.reserve(usize::try_from(size).unwrap_or(RESERVE_MAX).min(RESERVE_MAX));
        }
        Sink::File(file, path) => {
            let clear = async {
                file.set_len(0).await?;
                tokio::io::AsyncSeekExt::rewind(file).await
            };
            clear.await.map_err(|e| file_error(path, e))?;
        }
    }
    Ok(())
}
