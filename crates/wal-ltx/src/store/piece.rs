//! An object in pieces, so that a reader that was interrupted goes on where it was.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::digest_text;

/// How far an object has been read. Opaque; good for as long as the object is there, also for
/// another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which content: an object that was replaced has another one.
    pub(super) content: String,
    /// Bytes before this place.
    pub(super) offset: u64,
    /// Chunks before this place.
    pub(super) chunks: u64,
    /// Where the store looks for the next chunk.
    pub(super) sequence: u64,
}

impl Mark {
    /// The beginning of this content.
    pub(super) fn begin(content: &str) -> Self {
        Self { content: String::from(content), offset: 0, chunks: 0, sequence: 1 }
    }

    /// The bytes before this place.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// A piece of an object, about eight MiB at most.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Where it begins, in bytes from the beginning of the object: where the mark said, or 0
    /// when the mark is of another content.
    pub offset: u64,
    /// What is in it, in order.
    pub chunks: Vec<Bytes>,
    /// Where the next piece begins.
    pub next: Mark,
    /// The digest of the whole content when this is the last piece: `SHA-256=` and the hash in
    /// URL-safe base64 with padding, as object stores write it.
    pub last: Option<String>,
}

impl Piece {
    /// The only piece of an object.
    pub(super) fn whole(content: Bytes) -> Self {
        let digest = digest_text(Sha256::new_with_prefix(&content));
        let next = Mark { offset: content.len() as u64, ..Mark::begin(&digest) };
        Self { offset: 0, chunks: vec![content], next, last: Some(digest) }
    }
}
