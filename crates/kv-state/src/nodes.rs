//! The records of all nodes, and this node's own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ccm_types::NodeId;

use crate::bucket::{Bucket, Written};
use crate::{KvError, NodeRecord};

/// The bucket of the node records. Clones share what is known of this node's own record.
#[derive(Debug, Clone)]
pub struct Nodes {
    bucket: Bucket,
    /// The revision of this node's own record.
    own: Arc<Mutex<u64>>,
    /// The revision of another run's record that a claim met.
    met: Arc<Mutex<Option<u64>>>,
    /// Keys whose garbage has been named in the log.
    named: Arc<Mutex<BTreeSet<String>>>,
}

fn key(node: &NodeId) -> String {
    format!("nodes.{}", node.to_token())
}

impl Nodes {
    /// Opens the bucket `convex-{c}-state`, creating it when it is missing.
    ///
    /// # Errors
    /// [`KvError::ForeignBucket`], [`KvError::ServerTooOld`], [`KvError::Unavailable`].
    pub async fn open(
        client: async_nats::Client,
        bucket: String,
        replicas: usize,
    ) -> Result<Self, KvError> {
        let bucket = Bucket::open(client, bucket, replicas).await?;
        Ok(Self { bucket, own: Arc::default(), met: Arc::default(), named: Arc::default() })
    }

    /// Writes this node's record for the first time; it is forgotten after `ttl`, which the
    /// server counts in whole seconds.
    ///
    /// # Errors
    /// [`KvError::Duplicate`] when there is one of another run: ask whether that one lives, then
    /// [`Nodes::take_over`]. [`KvError::Unavailable`], [`KvError::Refused`].
    pub async fn claim(&self, record: &NodeRecord, ttl: Duration) -> Result<(), KvError> {
        let there = self.there(record).await?;
        *lock(&self.met) = there.other.as_ref().map(|_| there.revision);
        match there.other {
            Some(other) => Err(duplicate(other)),
            None => self.write(record, ttl, there.revision).await,
        }
    }

    /// Writes this node's record over the one that [`Nodes::claim`] met, whose run is dead.
    ///
    /// # Errors
    /// [`KvError::Duplicate`] when it was written since: somebody lives after all.
    /// [`KvError::Unavailable`], [`KvError::Refused`].
    pub async fn take_over(&self, record: &NodeRecord, ttl: Duration) -> Result<(), KvError> {
        let met = *lock(&self.met);
        let there = self.there(record).await?;
        match there.other {
            Some(other) if met != Some(there.revision) => Err(duplicate(other)),
            Some(_) | None => self.write(record, ttl, there.revision).await,
        }
    }

    /// Writes this node's record again, which then lives for `ttl` from now.
    ///
    /// # Errors
    /// [`KvError::Duplicate`] when another run has written it. [`KvError::Unavailable`],
    /// [`KvError::Refused`].
    pub async fn publish(&self, record: &NodeRecord, ttl: Duration) -> Result<(), KvError> {
        let own = *lock(&self.own);
        if self.put(record, ttl, own).await? {
            return Ok(());
        }
        // Forgotten meanwhile, or written by ourselves with an answer that never came.
        let there = self.there(record).await?;
        match there.other {
            Some(other) => Err(duplicate(other)),
            None => self.write(record, ttl, there.revision).await,
        }
    }

    /// All records that have not been forgotten, by node. What is no record is passed over and
    /// named once in the log.
    ///
    /// # Errors
    /// [`KvError::Unavailable`], [`KvError::Refused`].
    pub async fn list(&self) -> Result<Vec<NodeRecord>, KvError> {
        let mut records = Vec::new();
        for key in self.bucket.keys("nodes.*").await? {
            let Some(entry) = self.bucket.get(&key).await? else { continue };
            if entry.value.is_empty() {
                continue;
            }
            match serde_json::from_slice::<NodeRecord>(&entry.value) {
                Ok(record) => records.push(record),
                Err(error) => self.name_garbage(key, &error),
            }
        }
        records.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        Ok(records)
    }

    /// Keys that were found to hold no record; each counts once.
    #[must_use]
    pub fn garbage_count(&self) -> u64 {
        lock(&self.named).len() as u64
    }

    /// Removes this node's record as last written here, unless it was written again elsewhere.
    ///
    /// # Errors
    /// [`KvError::Unavailable`], [`KvError::Refused`].
    pub async fn remove(&self, node: &NodeId) -> Result<(), KvError> {
        let expect = *lock(&self.own);
        match self.bucket.remove(&key(node), expect).await? {
            Written::Stored(_) | Written::Conflict => Ok(()),
        }
    }

    /// What is at the key of `record`.
    async fn there(&self, record: &NodeRecord) -> Result<There, KvError> {
        let Some(entry) = self.bucket.get(&key(&record.node_id)).await? else {
            return Ok(There { revision: 0, other: None });
        };
        // Neither a trace nor garbage speaks for a living daemon.
        let other = serde_json::from_slice(&entry.value).ok();
        let other = other.filter(|other: &NodeRecord| other.instance != record.instance);
        Ok(There { revision: entry.revision, other })
    }

    /// Whether the record was stored, and not refused because the key is at another revision.
    async fn put(&self, record: &NodeRecord, ttl: Duration, expect: u64) -> Result<bool, KvError> {
        let value = serde_json::to_vec(record).map_err(KvError::Encode)?;
        match self.bucket.put(&key(&record.node_id), expect, value, ttl).await? {
            Written::Stored(revision) => {
                *lock(&self.own) = revision;
                Ok(true)
            }
            Written::Conflict => Ok(false),
        }
    }

    /// Writes over the revision just read; a conflict now is somebody else, or a coincidence that
    /// the next try clears up.
    async fn write(&self, record: &NodeRecord, ttl: Duration, expect: u64) -> Result<(), KvError> {
        if self.put(record, ttl, expect).await? {
            return Ok(());
        }
        let there = self.there(record).await?;
        Err(there.other.map_or(KvError::Changing, duplicate))
    }

    fn name_garbage(&self, key: String, error: &serde_json::Error) {
        let mut named = lock(&self.named);
        if !named.contains(&key) {
            tracing::warn!(%key, %error, "not a node record: who writes to the state bucket?");
            named.insert(key);
        }
    }
}

/// What is at a key.
#[derive(Debug)]
struct There {
    /// 0 when there is nothing, not even a trace.
    revision: u64,
    /// The record, when it is one of another run.
    other: Option<NodeRecord>,
}

/// No value here is ever half changed, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn duplicate(other: NodeRecord) -> KvError {
    KvError::Duplicate { instance: other.instance, address: other.address }
}
