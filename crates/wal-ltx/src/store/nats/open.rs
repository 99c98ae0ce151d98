//! Opening a bucket: the server must be able to enforce the fence, and the bucket must be one
//! of LTX files.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::api::{Api, code};
use super::layout::Layout;
use super::uploads::Uploads;
use super::written::Written;
use super::{Bucket, NatsStoreConfig};
use crate::store::StoreError;

/// The JetStream API level of nats-server 2.11, the first to honour the fence.
const API_LEVEL_MIN: u64 = 1;

/// Bytes per chunk, as the object store clients write them.
const CHUNK_LEN: usize = 128 * 1024;

/// Room for subject and protocol in a message when the server's limit is small.
const MESSAGE_OVERHEAD: usize = 4096;

#[derive(Debug, Deserialize)]
struct AccountReply {
    #[serde(default)]
    api: ApiState,
}

impl AccountReply {
    /// Whether a server that says this of an account honours the fence.
    fn check(&self, version: &str) -> Result<(), StoreError> {
        let level = self.api.level;
        if level < API_LEVEL_MIN {
            return Err(StoreError::ServerTooOld { version: String::from(version), level });
        }
        Ok(())
    }
}

#[derive(Debug, Default, Deserialize)]
struct ApiState {
    #[serde(default)]
    level: u64,
}

#[derive(Debug, Deserialize)]
struct StreamReply {
    config: StreamConfig,
}

#[derive(Debug, Deserialize)]
struct StreamConfig {
    #[serde(default)]
    subjects: Vec<String>,
    #[serde(default)]
    retention: String,
    #[serde(default)]
    max_age: u64,
    #[serde(default)]
    sealed: bool,
    #[serde(default)]
    deny_purge: bool,
    #[serde(default)]
    allow_rollup_hdrs: bool,
    #[serde(default)]
    allow_msg_ttl: bool,
}

/// Microseconds since the Unix epoch: more than any stream has counted to that was made before.
fn first_sequence() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(1)
}

impl Bucket {
    pub(super) async fn open(
        client: async_nats::Client,
        config: NatsStoreConfig,
    ) -> Result<Self, StoreError> {
        let info = client.server_info();
        let room = info.max_payload.saturating_sub(MESSAGE_OVERHEAD);
        let chunk_len = if room == 0 { CHUNK_LEN } else { CHUNK_LEN.min(room) };
        let layout = Layout::new(&config.bucket);
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if config.bucket.is_empty() || !config.bucket.chars().all(allowed) {
            return Err(layout.foreign("its name is not one for a bucket"));
        }
        let mut bucket = Self {
            api: Api { client, timeout: config.timeout },
            layout,
            chunk_len,
            never_expires: false,
            guarded: Semaphore::new(1),
            background: Semaphore::new(1),
            written: Written::default(),
            listing: Mutex::new(None),
            fence_moved: Mutex::new(None),
            uploads: Uploads::default(),
        };
        bucket.check_server(&info.version).await?;
        let stream = bucket.stream(&config).await?;
        bucket.check_stream(&stream)?;
        bucket.never_expires = stream.max_age > 0 && stream.allow_msg_ttl;
        bucket.list().await?;
        Ok(bucket)
    }

    async fn check_server(&self, version: &str) -> Result<(), StoreError> {
        let account: AccountReply =
            self.api.call("INFO", &json!({})).await.map_err(|f| f.reading("JetStream"))?;
        account.check(version)
    }

    /// The bucket's stream, created if it is not there and may be.
    async fn stream(&self, config: &NatsStoreConfig) -> Result<StreamConfig, StoreError> {
        let operation = format!("STREAM.INFO.{}", self.layout.stream);
        match self.api.call::<StreamReply>(&operation, &json!({})).await {
            Ok(reply) => return Ok(reply.config),
            Err(failure) if failure.is(code::STREAM_NOT_FOUND) && config.create => {}
            Err(failure) => return Err(self.reading(failure, "the stream")),
        }
        let what = || format!("creating bucket {}", self.layout.bucket);
        match self.create(config).await {
            Ok(reply) => Ok(reply.config),
            // Another node was faster.
            Err(failure) if failure.is(code::STREAM_NAME_IN_USE) => {
                let reply: StreamReply = self
                    .api
                    .call(&operation, &json!({}))
                    .await
                    .map_err(|f| self.reading(f, "the stream"))?;
                Ok(reply.config)
            }
            Err(failure) => Err(failure.writing(what())),
        }
    }

    async fn create(&self, config: &NatsStoreConfig) -> Result<StreamReply, super::api::Failure> {
        let max_age = config.max_age.unwrap_or(Duration::ZERO);
        let request = json!({
            "name": self.layout.stream,
            "subjects": [self.layout.all_chunks(), self.layout.all_metas()],
            "retention": "limits",
            "discard": "new",
            "storage": "file",
            "num_replicas": config.replicas,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_age": u64::try_from(max_age.as_nanos()).unwrap_or(u64::MAX),
            "allow_rollup_hdrs": true,
            "allow_direct": true,
            // A bucket that was lost and is made anew gives no sequence twice: the token of an
            // earlier fence must never fit by chance.
            "first_seq": first_sequence(),
            // The fence outlives the age limit by a lifetime of its own.
            "allow_msg_ttl": max_age > Duration::ZERO,
        });
        self.api.call(&format!("STREAM.CREATE.{}", self.layout.stream), &request).await
    }

    fn check_stream(&self, stream: &StreamConfig) -> Result<(), StoreError> {
        let mut subjects = stream.subjects.clone();
        subjects.sort_unstable();
        let why = if subjects != [self.layout.all_chunks(), self.layout.all_metas()] {
            "its stream does not have the subjects of an object store"
        } else if stream.sealed {
            "it is sealed"
        } else if !stream.allow_rollup_hdrs || stream.deny_purge {
            "its stream does not allow to replace messages"
        } else if stream.retention != "limits" {
            "its stream drops messages that were read"
        } else {
            return Ok(());
        };
        Err(self.layout.foreign(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_would_ignore_the_fence_is_too_old() {
        // As 2.9, 2.10 and 2.11 answer; the first two know nothing of a level.
        let cases = [
            ("2.9.10", r#"{"memory":0,"storage":0,"streams":0,"api":{"total":1,"errors":0}}"#, 0),
            ("2.10.20", r#"{"streams":0,"api":{"total":1,"errors":0,"inflight":1}}"#, 0),
            ("2.8.0", r#"{"streams":0}"#, 0),
            ("2.11.0", r#"{"streams":0,"api":{"level":1,"total":1,"errors":0}}"#, 1),
            ("2.15.1", r#"{"streams":0,"api":{"level":5,"total":1,"errors":0}}"#, 5),
        ];
        for (server, answer, level) in cases {
            let reply = serde_json::from_str::<AccountReply>(answer);
            let checked = reply.map(|reply| (reply.api.level, reply.check(server)));
            assert!(matches!(&checked, Ok((found, _)) if *found == level), "{server}");
            match checked {
                Ok((_, Err(error))) => {
                    assert!(level == 0 && error.to_string().contains(server), "{error}");
                    assert!(error.to_string().contains("2.11"), "{error}");
                }
                Ok((_, Ok(()))) => assert!(level >= API_LEVEL_MIN, "{server}"),
                Err(_) => {}
            }
        }
    }
}
