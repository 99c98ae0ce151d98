//! The KV bucket: a stream with one message per key.

use std::time::Duration;

use async_nats::Subscriber;
use serde::Deserialize;
use serde_json::json;

use super::api::{Api, Failure};
use super::{ElectionConfig, ElectionError, KEY};
use crate::{LeaseRecord, ReadOutcome, Revision, WriteOutcome};

/// How long each request of opening may take.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct Stream {
    config: StreamConfig,
}

#[derive(Debug, Deserialize)]
struct StreamConfig {
    #[serde(default)]
    subjects: Vec<String>,
    #[serde(default)]
    retention: String,
    #[serde(default)]
    storage: String,
    #[serde(default)]
    max_age: u64,
    #[serde(default)]
    sealed: bool,
}

/// One bucket.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) api: Api,
    name: String,
    stream: String,
    subject: String,
}

impl Bucket {
    pub(super) async fn open(api: Api, config: &ElectionConfig) -> Result<Self, ElectionError> {
        let name = config.bucket.clone();
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(ElectionError::BucketName(name));
        }
        let (stream, subject) = (format!("KV_{name}"), format!("$KV.{name}.{KEY}"));
        let bucket = Self { api, name, stream, subject };
        let stream = bucket.find_or_create(config.replicas).await?;
        bucket.check(&stream)?;
        match bucket.get().await {
            Ok(_) => Ok(bucket),
            Err(ReadError::Foreign(why)) => Err(bucket
                .foreign(format!("its key '{KEY}' does not hold the record of a lease ({why})"))),
            Err(ReadError::Failed(failure)) => Err(bucket.failed("reading the key", failure)),
        }
    }

    async fn find_or_create(&self, replicas: usize) -> Result<StreamConfig, ElectionError> {
        match self.info().await {
            Ok(stream) => return Ok(stream),
            Err(failure) if failure.is_missing() => {}
            Err(failure) => return Err(self.failed("looking for the stream", failure)),
        }
        let request = json!({
            "name": self.stream,
            "subjects": [format!("$KV.{}.>", self.name)],
            "retention": "limits",
            "discard": "new",
            "storage": "file",
            "num_replicas": replicas,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_msgs_per_subject": 1,
            "max_bytes": -1,
            "max_msg_size": -1,
            // A key that expires on the server would take the epoch with it.
            "max_age": 0,
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
        });
        let create = format!("STREAM.CREATE.{}", self.stream);
        match self.api.call::<Stream>(&create, &request).await {
            Ok(stream) => Ok(stream.config),
            // Another node was faster.
            Err(failure) if failure.is_name_taken() => {
                self.info().await.map_err(|f| self.failed("looking for the stream", f))
            }
            Err(failure) => Err(self.failed("creating the stream", failure)),
        }
    }

    async fn info(&self) -> Result<StreamConfig, Failure> {
        let operation = format!("STREAM.INFO.{}", self.stream);
        Ok(self.api.call::<Stream>(&operation, &json!({})).await?.config)
    }

    fn check(&self, stream: &StreamConfig) -> Result<(), ElectionError> {
        let why = if stream.subjects != [format!("$KV.{}.>", self.name)] {
            "its stream does not have the subjects of a KV bucket"
        } else if stream.max_age != 0 {
            "its keys expire, and the epoch with them"
        } else if stream.storage != "file" {
            "it is kept in memory, where no epoch survives a restart of NATS"
        } else if stream.retention != "limits" {
            "its stream drops messages that were read"
        } else if stream.sealed {
            "it is sealed"
        } else {
            return Ok(());
        };
        Err(self.foreign(String::from(why)))
    }

    fn foreign(&self, why: String) -> ElectionError {
        ElectionError::ForeignBucket { bucket: self.name.clone(), why }
    }

    fn failed(&self, what: &'static str, failure: Failure) -> ElectionError {
        let bucket = self.name.clone();
        ElectionError::Unavailable { what, bucket, source: failure.into() }
    }

    /// Everything that is published for the key: accepted or not, it is a reason to look.
    pub(super) async fn hints(&self) -> Result<Subscriber, ElectionError> {
        let subscribed = self.api.client.subscribe(self.subject.clone()).await;
        subscribed.map_err(|e| self.failed("watching the key", Failure::NotSent(e.into())))
    }

    async fn get(&self) -> Result<(Revision, Option<LeaseRecord>), ReadError> {
        let last = self.api.last(&self.stream, &self.subject).await;
        match last.map_err(ReadError::Failed)? {
            None => Ok((Revision(0), None)),
            // A delete marker has a revision and no content.
            Some((sequence, data)) if data.is_empty() => Ok((Revision(sequence), None)),
            Some((sequence, data)) => match serde_json::from_slice(&data) {
                Ok(record) => Ok((Revision(sequence), Some(record))),
                Err(error) => Err(ReadError::Foreign(error.to_string())),
            },
        }
    }

    /// Reads the key, and says in words what went wrong.
    pub(super) async fn read(&self, timeout: Duration) -> (ReadOutcome, Option<String>) {
        match self.within(timeout).get().await {
            Ok((revision, record)) => (ReadOutcome::Found { revision, record }, None),
            Err(error) => (ReadOutcome::Failed, Some(error.to_string())),
        }
    }

    /// Writes the key by compare-and-set, and says in words what went wrong.
    pub(super) async fn write(
        &self,
        expected: Revision,
        record: &LeaseRecord,
        timeout: Duration,
    ) -> (WriteOutcome, Option<String>) {
        let payload = match serde_json::to_vec(record) {
            Ok(payload) => payload,
            Err(error) => return (WriteOutcome::NotSent, Some(error.to_string())),
        };
        let api = self.within(timeout).api;
        let failure = match api.publish(self.subject.clone(), expected.0, payload).await {
            Ok(sequence) => return (WriteOutcome::Stored(Revision(sequence)), None),
            Err(failure) if failure.is_conflict() => return (WriteOutcome::Refused, None),
            Err(failure) => failure,
        };
        let outcome = match failure {
            Failure::NotConnected | Failure::NotSent(_) => WriteOutcome::NotSent,
            // Which of the server's errors come before storing and which after is its secret.
            Failure::Refused(_) | Failure::NoAnswer(_) => WriteOutcome::NoAnswer,
        };
        (outcome, Some(failure.to_string()))
    }

    fn within(&self, timeout: Duration) -> Self {
        let mut bucket = self.clone();
        bucket.api.timeout = timeout;
        bucket
    }
}

/// Why the key gave no record.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Failed(Failure),
    #[error("the key does not hold the record of a lease: {0}")]
    Foreign(String),
}
