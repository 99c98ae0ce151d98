//! Objects out of the bucket, a batch of chunks at a time.

use bytes::{Bytes, BytesMut};

use super::Bucket;
use super::layout::Meta;
use crate::store::{LtxName, Mark, Piece, StoreError};

/// Chunks that are smaller on average are joined: a stock Litestream writes chunks of a few bytes.
const SMALL: u64 = 4096;

impl Bucket {
    /// The piece at `from`, by the metadata of the last listing, and by the leader's when that
    /// one leads nowhere: the object may have been deleted or replaced since.
    pub(super) async fn piece(
        &self,
        name: LtxName,
        from: Option<&Mark>,
    ) -> Result<Piece, StoreError> {
        if let Some(meta) = self.remembered(name) {
            match self.read_piece(&meta, from).await {
                Err(StoreError::Damaged { .. }) => {}
                done => return done,
            }
        }
        let Some(meta) = self.meta(name).await? else {
            return Err(StoreError::NotFound { name });
        };
        self.read_piece(&meta, from).await
    }

    async fn read_piece(&self, meta: &Meta, from: Option<&Mark>) -> Result<Piece, StoreError> {
        let damaged = |why: String| StoreError::Damaged { name: meta.info.name, why };
        let same = from.filter(|mark| mark.content == meta.nuid && mark.chunks <= meta.chunks);
        let mark = same.cloned().unwrap_or_else(|| Mark::begin(&meta.nuid));
        let mut next = mark.clone();
        let mut chunks = Vec::new();
        if next.chunks < meta.chunks {
            let read = self.next_chunks(meta, next.sequence, meta.chunks - next.chunks).await?;
            if read.is_empty() {
                let (there, all) = (next.chunks, meta.chunks);
                return Err(damaged(format!("only {there} of {all} chunks are there")));
            }
            for (sequence, chunk) in read {
                next.chunks += 1;
                next.offset += chunk.len() as u64;
                next.sequence = sequence + 1;
                chunks.push(chunk);
            }
        }
        if next.chunks > meta.chunks || next.offset > meta.info.size {
            return Err(damaged(format!("it is larger than {} bytes", meta.info.size)));
        }
        let ended = next.chunks == meta.chunks;
        if ended && next.offset != meta.info.size {
            let (found, size) = (next.offset, meta.info.size);
            return Err(damaged(format!("{found} bytes instead of {size}")));
        }
        let last = ended.then(|| meta.digest.clone());
        let chunks = joined(chunks, next.offset - mark.offset);
        Ok(Piece { offset: mark.offset, chunks, next, last })
    }
}

/// The chunks, or one that is all of them when they are small.
fn joined(chunks: Vec<Bytes>, len: u64) -> Vec<Bytes> {
    if len >= SMALL * chunks.len() as u64 {
        return chunks;
    }
    let mut all = BytesMut::with_capacity(usize::try_from(len).unwrap_or(0));
    for chunk in chunks {
        all.extend_from_slice(&chunk);
    }
    vec![all.freeze()]
}
