//! The records of all nodes, and this node's own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ccm_types::NodeId;

use crate::bucket::{Bucket, Entry, Written};
use crate::{KvError, NodeRecord};

/// The bucket of the node records. Clones share what is known of this node's own record.
#[derive(Debug, Clone)]
pub struct Nodes {
    bucket: Bucket,
    /// The revision of this node's own record.
    own: Arc<Mutex<u64>>,
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
        Ok(Self { bucket, own: Arc::default(), named: Arc::default() })
    }

    /// Writes this node's record for the first time.
    ///
    /// # Errors
    /// [`KvError::Duplicate`] when there is one of another run: ask whether that one lives, then
    /// [`Nodes::take_over`]. The others.
    pub async fn claim(&self, record: &NodeRecord, ttl: Duration) -> Result<(), KvError> {
        let there = self.bucket.get(&key(&record.node_id)).await?;
        self.write_over(record, ttl, there.as_ref(), false).await
    }

    /// Writes this node's record over that of a run which is known to be dead.
    ///
    /// # Errors
    /// [`KvError::Duplicate`] when it was written meanwhile; the others.
    pub async fn take_over(&self, record: &NodeRecord, ttl: Duration) -> Result<(), KvError> {
        let there = self.bucket.get(&key(&record.node_id)).await?;
        self.write_over(record, ttl, there.as_ref(), true).await
    }

    /// Writes this node's record again.
    ///
    /// # Errors
    /// [`KvError::Duplicate`] when another run has written it; the others.
    pub async fn publish(&self, record: &NodeRecord, ttl: Duration) -> Result<(), KvError> {
        let expect = *self.own();
        let value = serde_json::to_vec(record).map_err(KvError::Encode)?;
        let key = key(&record.node_id);
        match self.bucket.put(&key, expect, value, ttl).await? {
            Written::Stored(revision) => {
                *self.own() = revision;
                Ok(())
            }
            // Forgotten meanwhile, or written by an answer that never came.
            Written::Conflict => {
                let there = self.bucket.get(&key).await?;
                self.write_over(record, ttl, there.as_ref(), false).await
            }
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

    /// Removes this node's record, unless another run has written it.
    ///
    /// # Errors
    /// [`KvError::Unavailable`], [`KvError::Refused`].
    pub async fn remove(&self, node: &NodeId) -> Result<(), KvError> {
        let expect = *self.own();
        match self.bucket.remove(&key(node), expect).await? {
            Written::Stored(_) | Written::Conflict => Ok(()),
        }
    }

    async fn write_over(
        &self,
        record: &NodeRecord,
        ttl: Duration,
        there: Option<&Entry>,
        dead: bool,
    ) -> Result<(), KvError> {
        let other = there.and_then(|entry| serde_json::from_slice(&entry.value).ok());
        let other = other.filter(|other: &NodeRecord| other.instance != record.instance);
        if let Some(other) = other
            && !dead
        {
            return Err(duplicate(other));
        }
        let expect = there.map_or(0, |entry| entry.revision);
        let value = serde_json::to_vec(record).map_err(KvError::Encode)?;
        match self.bucket.put(&key(&record.node_id), expect, value, ttl).await? {
            Written::Stored(revision) => {
                *self.own() = revision;
                Ok(())
            }
            Written::Conflict => {
                let there = self.bucket.get(&key(&record.node_id)).await?;
                let other = there.and_then(|entry| serde_json::from_slice(&entry.value).ok());
                Err(other.map_or_else(
                    || KvError::Refused {
                        what: "writing the node record",
                        description: String::from("it changed at the same moment"),
                        code: 10008,
                    },
                    duplicate,
                ))
            }
        }
    }

    fn own(&self) -> std::sync::MutexGuard<'_, u64> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name_garbage(&self, key: String, error: &serde_json::Error) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if !named.contains(&key) {
            tracing::warn!(%key, %error, "not a node record: who writes to the state bucket?");
            named.insert(key);
        }
    }
}

fn duplicate(other: NodeRecord) -> KvError {
    KvError::Duplicate { instance: other.instance, address: other.address }
}
