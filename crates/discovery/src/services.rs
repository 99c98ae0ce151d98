//! The records in the bucket: written, removed, found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use ccm_types::{NodeId, ServiceName};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::bucket::Bucket;
use crate::record::{self, GarbageError};
use crate::view::{Seen, Snapshot, in_order};
use crate::{DiscoveryError, Filter, ServiceRecord, Watch};

/// Records that are read at once.
const READS: usize = 16;

/// Keys of garbage that are remembered, so that each is named once.
const NAMED_MAX: usize = 1024;

/// The records of a cluster. Clones share what is known of garbage.
#[derive(Debug, Clone)]
pub struct Services {
    bucket: Bucket,
    garbage: Arc<Mutex<Garbage>>,
}

/// What is in the bucket and is no record.
#[derive(Debug, Default)]
struct Garbage {
    /// The keys that were named in the log, and what was counted there last.
    named: BTreeMap<String, u64>,
    count: u64,
}

/// The records that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// By service, then node.
    pub records: Vec<ServiceRecord>,
    /// Keys of what is no record.
    pub garbage: Vec<String>,
}

impl Services {
    /// The records in the bucket `convex-{c}-services`, which need not be there yet. Asks nobody.
    #[must_use]
    pub fn at(client: Client, bucket: String) -> Self {
        Self { bucket: Bucket::at(client, bucket), garbage: Arc::default() }
    }

    /// [`Services::at`] and [`Services::ensure`].
    ///
    /// # Errors
    /// As [`Services::ensure`].
    pub async fn open(
        client: Client,
        bucket: String,
        replicas: usize,
    ) -> Result<Self, DiscoveryError> {
        let services = Self::at(client, bucket);
        services.ensure(replicas).await?;
        Ok(services)
    }

    /// Creates the bucket when it is missing.
    ///
    /// # Errors
    /// [`DiscoveryError::ForeignBucket`], [`DiscoveryError::ServerTooOld`],
    /// [`DiscoveryError::Unavailable`], [`DiscoveryError::Refused`].
    pub async fn ensure(&self, replicas: usize) -> Result<(), DiscoveryError> {
        self.bucket.ensure(replicas).await
    }

    /// Writes a record, which is forgotten unless it is written again within `ttl`; the server
    /// counts in whole seconds.
    ///
    /// # Errors
    /// [`DiscoveryError::NoBucket`], [`DiscoveryError::Unavailable`],
    /// [`DiscoveryError::Refused`].
    pub async fn register(
        &self,
        record: &ServiceRecord,
        ttl: Duration,
    ) -> Result<(), DiscoveryError> {
        let value = serde_json::to_vec(record).map_err(DiscoveryError::Encode)?;
        self.bucket.put(&record.key(), value, ttl).await
    }

    /// Removes a record; without effect when there is none.
    ///
    /// # Errors
    /// As [`Services::register`].
    pub async fn deregister(
        &self,
        name: &ServiceName,
        node: &NodeId,
    ) -> Result<(), DiscoveryError> {
        self.bucket.remove(&record::key(name, node)).await
    }

    /// The records that meet `filter`; none when there is no bucket. What is no record is passed
    /// over, counted, and named once in the log.
    ///
    /// # Errors
    /// [`DiscoveryError::Unavailable`], [`DiscoveryError::Refused`].
    pub async fn list(&self, filter: &Filter) -> Result<Listed, DiscoveryError> {
        let (snapshot, garbage) = self.snapshot().await?;
        let records = snapshot.seen.into_values().filter_map(|seen| seen.record).collect();
        Ok(Listed { records: in_order(filter.select(records)), garbage })
    }

    /// The records of a service.
    ///
    /// # Errors
    /// As [`Services::list`].
    pub async fn by_name(&self, name: &ServiceName) -> Result<Vec<ServiceRecord>, DiscoveryError> {
        let filter = Filter { name: Some(name.clone()), ..Filter::default() };
        Ok(self.list(&filter).await?.records)
    }

    /// The records that have a tag.
    ///
    /// # Errors
    /// As [`Services::list`].
    pub async fn by_tag(&self, tag: &str) -> Result<Vec<ServiceRecord>, DiscoveryError> {
        let filter = Filter { tags: vec![String::from(tag)], ..Filter::default() };
        Ok(self.list(&filter).await?.records)
    }

    /// The records that have this metadata.
    ///
    /// # Errors
    /// As [`Services::list`].
    pub async fn by_metadata(
        &self,
        key: &str,
        value: &str,
    ) -> Result<Vec<ServiceRecord>, DiscoveryError> {
        let metadata = [(String::from(key), String::from(value))].into();
        let filter = Filter { metadata, ..Filter::default() };
        Ok(self.list(&filter).await?.records)
    }

    /// Tells what changes from now on, beginning with what is there.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(self.clone())
    }

    /// How often something was found that is no record; each writing counts once.
    #[must_use]
    pub fn garbage_count(&self) -> u64 {
        self.garbage.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The whole bucket, and the keys of what is no record.
    pub(crate) async fn snapshot(&self) -> Result<(Snapshot, Vec<String>), DiscoveryError> {
        let keys = self.bucket.keys(">").await?;
        let reads = keys.keys.into_iter().map(|key| async {
            let entry = self.bucket.get(&key).await?;
            Ok::<_, DiscoveryError>(entry.map(|entry| (key, entry)))
        });
        let entries: Vec<_> = stream::iter(reads).buffer_unordered(READS).try_collect().await?;
        let (mut snapshot, mut garbage) =
            (Snapshot { last: keys.last, ..Snapshot::default() }, Vec::new());
        for (key, entry) in entries.into_iter().flatten() {
            let record = match self.read(&key, entry.revision, &entry.value) {
                Ok(record) => record,
                Err(_) => {
                    garbage.push(key.clone());
                    None
                }
            };
            snapshot.seen.insert(key, Seen { revision: entry.revision, record });
        }
        garbage.sort_unstable();
        Ok((snapshot, garbage))
    }

    /// What is at a key: `None` for the trace of a record that is gone.
    pub(crate) fn read(
        &self,
        key: &str,
        revision: u64,
        value: &[u8],
    ) -> Result<Option<ServiceRecord>, GarbageError> {
        if value.is_empty() {
            return Ok(None);
        }
        let read = ServiceRecord::read(key, value);
        if let Err(error) = &read {
            self.note_garbage(key, revision, error);
        }
        read.map(Some)
    }

    fn note_garbage(&self, key: &str, revision: u64, error: &GarbageError) {
        // No value in it is ever half changed, so a poisoned lock is as good as any.
        let mut garbage = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
        let known = garbage.named.get(key).copied();
        if known == Some(revision) {
            return;
        }
        garbage.count += 1;
        if known.is_none() && garbage.named.len() >= NAMED_MAX {
            return;
        }
        garbage.named.insert(String::from(key), revision);
        if known.is_none() {
            let bucket = self.bucket.name();
            tracing::warn!(
                bucket, ?key, %error,
                "something in the services bucket is no service record and is ignored: who writes \
                 there?"
            );
        }
    }
}
