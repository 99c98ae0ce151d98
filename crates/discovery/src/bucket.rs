//! The KV bucket, spoken to directly: a value that is written again must keep its time to live,
//! which the client library's KV does not do.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, RequestErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use crate::DiscoveryError;

/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long the trace of a forgotten record stays; watchers learn by it that the record is gone.
const MARKER_NANOS: u64 = 60_000_000_000;

/// JetStream's error numbers that mean something here.
const NO_MESSAGE: u32 = 10037;
const STREAM_NAME_IN_USE: u32 = 10058;
const STREAM_NOT_FOUND: u32 = 10059;

/// A value and the stream sequence it has.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) revision: u64,
    /// Empty for the trace of a record that is gone.
    pub(crate) value: Vec<u8>,
}

/// The keys of a bucket.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The last sequence of the stream.
    pub(crate) last: u64,
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("not connected to NATS")]
struct NotConnected;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reply<T> {
    Error { error: ServerError },
    Ok(T),
}

#[derive(Debug, Deserialize)]
struct ServerError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Deserialize)]
struct Ack {
    #[serde(rename = "seq")]
    _seq: u64,
}

#[derive(Debug, Deserialize)]
struct Stored {
    message: StoredMessage,
}

#[derive(Debug, Deserialize)]
struct StoredMessage {
    seq: u64,
    #[serde(default)]
    data: String,
}

#[derive(Debug, Deserialize)]
struct StreamInfo {
    config: StreamConfig,
    #[serde(default)]
    state: StreamState,
}

#[derive(Debug, Deserialize)]
struct StreamConfig {
    #[serde(default)]
    subjects: Vec<String>,
    #[serde(default)]
    allow_msg_ttl: bool,
    #[serde(default)]
    max_msgs_per_subject: i64,
}

#[derive(Debug, Default, Deserialize)]
struct StreamState {
    #[serde(default)]
    last_seq: u64,
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

enum Failure {
    Refused(ServerError),
    Nobody,
    Away(Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    fn is(&self, code: u32) -> bool {
        matches!(self, Self::Refused(error) if error.err_code == code)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    client: Client,
    name: String,
    stream: String,
}

impl Bucket {
    pub(crate) fn at(client: Client, name: String) -> Self {
        Self { client, stream: format!("KV_{name}"), name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Creates the bucket when it is missing, and looks whether it is one.
    pub(crate) async fn ensure(&self, replicas: usize) -> Result<(), DiscoveryError> {
        if !self.look().await? {
            self.create(replicas).await?;
            self.look().await?;
        }
        Ok(())
    }

    /// The subject of a key.
    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    async fn look(&self) -> Result<bool, DiscoveryError> {
        let info: StreamInfo = match self.call("INFO", &json!({})).await {
            Ok(info) => info,
            Err(failure) if failure.is(STREAM_NOT_FOUND) => return Ok(false),
            Err(failure) => return Err(self.failed(failure, "looking at the services bucket")),
        };
        let refuse = |why: &str| {
            let stream = self.stream.clone();
            Err(DiscoveryError::ForeignBucket { stream, why: String::from(why) })
        };
        if info.config.subjects != [self.subject(">")] {
            return refuse("its subjects are not those of the bucket");
        }
        if info.config.max_msgs_per_subject != 1 {
            return refuse("it keeps more than the last value of a key");
        }
        if !info.config.allow_msg_ttl {
            if self.client.is_server_compatible(2, 11, 0) {
                return refuse("it never forgets a record");
            }
            return Err(DiscoveryError::ServerTooOld);
        }
        Ok(true)
    }

    async fn create(&self, replicas: usize) -> Result<(), DiscoveryError> {
        let config = json!({
            "name": self.stream,
            "subjects": [self.subject(">")],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "num_replicas": replicas,
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
            "allow_msg_ttl": true,
            "subject_delete_marker_ttl": MARKER_NANOS,
        });
        match self.call::<serde_json::Value>("CREATE", &config).await {
            Ok(_) => Ok(()),
            // Another node was first.
            Err(failure) if failure.is(STREAM_NAME_IN_USE) => Ok(()),
            Err(failure) => Err(self.failed(failure, "creating the services bucket")),
        }
    }

    /// The keys that have a value or a trace of one; none when there is no bucket.
    pub(crate) async fn keys(&self, filter: &str) -> Result<Keys, DiscoveryError> {
        let request = json!({ "subjects_filter": self.subject(filter) });
        let info = match self.call::<StreamInfo>("INFO", &request).await {
            Ok(info) => info,
            Err(failure) if failure.is(STREAM_NOT_FOUND) => return Ok(Keys::default()),
            Err(failure) => return Err(self.failed(failure, "listing the services")),
        };
        let prefix = self.subject("");
        let subjects = info.state.subjects.unwrap_or_default().into_keys();
        let keys = subjects.filter_map(|s| s.strip_prefix(&prefix).map(String::from)).collect();
        Ok(Keys { last: info.state.last_seq, keys })
    }

    /// The value of a key, read from the stream's leader.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Entry>, DiscoveryError> {
        let request = json!({ "last_by_subj": self.subject(key) });
        let stored: Stored = match self.call("MSG.GET", &request).await {
            Ok(stored) => stored,
            Err(failure) if failure.is(NO_MESSAGE) => return Ok(None),
            Err(failure) => return Err(self.failed(failure, "reading a service record")),
        };
        let value = STANDARD.decode(&stored.message.data).unwrap_or_default();
        Ok(Some(Entry { revision: stored.message.seq, value }))
    }

    /// Writes the key, which is forgotten after `ttl`. Only its own node writes a key.
    pub(crate) async fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        ttl: Duration,
    ) -> Result<(), DiscoveryError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", whole_seconds(ttl).as_str());
        let request = async_nats::Request::new().headers(headers).payload(value.into());
        let stored = self.exchange::<Ack>(self.subject(key), request).await;
        stored.map(|_| ()).map_err(|failure| self.failed(failure, "writing a service record"))
    }

    /// Removes the key; its trace goes after a while.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), DiscoveryError> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "PURGE");
        headers.insert("Nats-Rollup", "sub");
        headers.insert("Nats-TTL", "60s");
        let request = async_nats::Request::new().headers(headers);
        let stored = self.exchange::<Ack>(self.subject(key), request).await;
        stored.map(|_| ()).map_err(|failure| self.failed(failure, "removing a service record"))
    }

    fn failed(&self, failure: Failure, what: &'static str) -> DiscoveryError {
        match failure {
            Failure::Nobody => DiscoveryError::NoBucket { bucket: self.name.clone(), what },
            Failure::Refused(error) if error.err_code == STREAM_NOT_FOUND => {
                DiscoveryError::NoBucket { bucket: self.name.clone(), what }
            }
            Failure::Refused(ServerError { err_code: code, description }) => {
                DiscoveryError::Refused { what, description, code }
            }
            Failure::Away(source) => DiscoveryError::Unavailable { what, source },
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        request: &serde_json::Value,
    ) -> Result<T, Failure> {
        let subject = format!("$JS.API.STREAM.{operation}.{}", self.stream);
        let request = async_nats::Request::new().payload(request.to_string().into());
        self.exchange(subject, request).await
    }

    /// Nothing is sent while disconnected: the client would keep it and send it too late.
    async fn exchange<T: DeserializeOwned>(
        &self,
        subject: String,
        request: async_nats::Request,
    ) -> Result<T, Failure> {
        if self.client.connection_state() != State::Connected {
            return Err(Failure::Away(NotConnected.into()));
        }
        let request = request.timeout(Some(ANSWER_WITHIN));
        // The library's own limit does not cover a connection that takes no more requests.
        let asked = timeout(ANSWER_WITHIN, self.client.send_request(subject, request)).await;
        let asked = asked.map_err(|elapsed| Failure::Away(elapsed.into()))?;
        let message = asked.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::Nobody,
            RequestErrorKind::TimedOut
            | RequestErrorKind::Other
            | RequestErrorKind::InvalidSubject
            | RequestErrorKind::MaxPayloadExceeded => Failure::Away(error.into()),
        })?;
        match serde_json::from_slice(&message.payload) {
            Ok(Reply::Ok(value)) => Ok(value),
            Ok(Reply::Error { error }) => Err(Failure::Refused(error)),
            Err(error) => Err(Failure::Away(error.into())),
        }
    }
}

/// As the server reads it; rounded up, so that nothing is forgotten too early.
fn whole_seconds(ttl: Duration) -> String {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    format!("{}s", seconds.max(1))
}
