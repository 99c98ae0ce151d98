//! The port between replication and the object store, and the store's words.
//!
//! [`LtxStore`] is the port. [`NatsStore`] is the store in production: the server keeps the fence.
//! [`DirStore`] is a folder, [`MemStore`] for tests. All of them pass one suite
//! (`tests/store/suite.rs`), and so must another one.

mod dir;
mod mem;
mod name;
mod nats;
mod piece;

use std::future::Future;
use std::path::PathBuf;

use bytes::Bytes;
use ccm_types::{Epoch, NodeId, Txid};

pub use dir::DirStore;
pub use mem::MemStore;
pub use name::{Level, LtxName, NameError};
pub(crate) use nats::digest_text;
pub use nats::{NatsStore, NatsStoreConfig};
pub use piece::{Mark, Piece};

/// What the store knows of one LTX file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LtxInfo {
    /// Level and TXID range.
    pub name: LtxName,
    /// Size in bytes.
    pub size: u64,
    /// Commit time of the file's last transaction, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The epoch of the primary that wrote it; `None` for files of a stock Litestream.
    pub epoch: Option<Epoch>,
}

/// The content of an LTX file on its way into the store.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a file, read as it is sent.
    File(PathBuf),
}

/// The fence as it stands in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceRecord {
    /// The newest epoch that may write.
    pub epoch: Epoch,
    /// The node that moved the fence.
    pub node: NodeId,
}

impl FenceRecord {
    /// Whether the fence may not be moved to `epoch` by `node`: only a newer epoch, or the same
    /// node again, moves it.
    fn refuses(&self, epoch: Epoch, node: &NodeId) -> bool {
        self.epoch > epoch || (self.epoch == epoch && self.node != *node)
    }
}

/// The right to write under one epoch: what moving the fence returns.
///
/// The token is the sequence of the fence message; every guarded write carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The epoch of the holder.
    pub epoch: Epoch,
    /// The stream sequence of the fence message; never 0.
    pub token: u64,
}

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer epoch has moved the fence: terminal for this epoch.
    #[error("the WAL bucket is fenced for epoch {ours}: a newer primary has taken over")]
    Fenced {
        /// The epoch that was refused.
        ours: Epoch,
    },
    /// The name exists already with other content; names are never written twice.
    #[error("the object {name} exists already with different content")]
    Exists {
        /// The object.
        name: LtxName,
    },
    /// The object is not there.
    #[error("there is no object {name} in the bucket")]
    NotFound {
        /// The object.
        name: LtxName,
    },
    /// The request was sent and no answer came: it may or may not have happened.
    #[error("no answer while {what}: the outcome is unknown")]
    Ambiguous {
        /// What was being done.
        what: String,
    },
    /// The store cannot be reached or cannot serve at present; nothing happened.
    #[error("the object store cannot serve {what} at present")]
    Unavailable {
        /// What was being done.
        what: String,
        /// The error of the client library, or of the file system.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is too old to enforce the fence.
    #[error(
        "nats-server {version} cannot enforce the fence (API level {level}): use 2.11 or later"
    )]
    ServerTooOld {
        /// The server's version.
        version: String,
        /// Its JetStream API level.
        level: u64,
    },
    /// The bucket exists but is not an LTX bucket of ours.
    #[error("bucket {bucket} is not usable for replication: {why}")]
    ForeignBucket {
        /// The bucket.
        bucket: String,
        /// What is wrong with it.
        why: String,
    },
    /// The object's content does not match its digest or its size.
    #[error("the object {name} is damaged: {why}")]
    Damaged {
        /// The object.
        name: LtxName,
        /// What does not match.
        why: String,
    },
    /// A local file could not be read or written.
    #[error("could not access {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// Worth trying again without a change: the store may answer next time.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Ambiguous { .. })
    }

    /// The name was taken by other content.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Exists { .. })
    }

    /// A newer epoch owns the bucket.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// The operation may have happened.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Ambiguous { .. })
    }
}

/// An LTX object store with a fence.
///
/// Every call has a deadline of its own. `put` is idempotent: when the name exists with the same
/// content and epoch it succeeds, so an ambiguous put is resolved by putting again.
pub trait LtxStore: Send + Sync + 'static {
    /// The fence as it stands; `None` when no primary has ever moved it.
    fn fence(&self) -> impl Future<Output = Result<Option<FenceRecord>, StoreError>> + Send;

    /// Moves the fence to `epoch` by compare-and-set and returns the token to write with.
    ///
    /// A fence of a higher epoch is [`StoreError::Fenced`]; one of the same epoch and node is
    /// moved again (a restarted daemon of the same epoch), one of the same epoch and another
    /// node is [`StoreError::Fenced`].
    fn move_fence(
        &self,
        epoch: Epoch,
        node: &NodeId,
    ) -> impl Future<Output = Result<Fence, StoreError>> + Send;

    /// All LTX files, ordered by level, then TXID. After [`LtxStore::move_fence`] the answer is
    /// definitive: no write of an earlier epoch can be missing from it or come after it.
    fn list(&self) -> impl Future<Output = Result<Vec<LtxInfo>, StoreError>> + Send;

    /// The whole content, its digest checked.
    fn get(&self, name: LtxName) -> impl Future<Output = Result<Bytes, StoreError>> + Send;

    /// Writes the content to `path`, digest checked, fsynced.
    fn get_to_file(
        &self,
        name: LtxName,
        path: &std::path::Path,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The piece of the content that begins at `from`, or at the beginning. Its digest is not
    /// checked: whoever has read all pieces does that with [`Piece::last`]. A store that cannot
    /// read pieces gives the whole content.
    fn piece(
        &self,
        name: LtxName,
        _from: Option<&Mark>,
    ) -> impl Future<Output = Result<Piece, StoreError>> + Send {
        async move { Ok(Piece::whole(self.get(name).await?)) }
    }

    /// Creates the object under the fence.
    fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the object under the fence; succeeds when it is not there.
    fn delete(
        &self,
        fence: Fence,
        name: LtxName,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes what interrupted writes and deletions have left, which is no object; returns how
    /// much that was. More may be left: call again until nothing is.
    ///
    /// Whatever else writes under this fence at the same time must do so through this store or a
    /// clone of it, and no deletion may be under way.
    fn sweep(&self, _fence: Fence) -> impl Future<Output = Result<usize, StoreError>> + Send {
        async { Ok(0) }
    }

    /// How often the store was seen to have lost what it had acknowledged.
    fn losses(&self) -> u64 {
        0
    }

    /// Completes when the bucket may have changed since the last call, or after `at_most`.
    ///
    /// An accelerator: callers list again either way. The first call returns at once.
    fn changed(&self, at_most: std::time::Duration) -> impl Future<Output = ()> + Send;

    /// The highest TXID named by any file, [`Txid::ZERO`] for an empty bucket.
    fn tip(&self) -> impl Future<Output = Result<Txid, StoreError>> + Send {
        async { Ok(self.list().await?.iter().map(|i| i.name.max).max().unwrap_or_default()) }
    }
}
