//! The stream: made, looked at, and published into.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
use async_nats::{Client, HeaderMap, Request, RequestErrorKind};
use ccm_types::ClusterId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::HistoryError;

/// Events are kept for so long.
pub const AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// The stream may have so many bytes; the oldest events go first.
pub const BYTES_MAX: u64 = 16 << 20;

/// The stream may have so many events; the oldest go first.
pub const MESSAGES_MAX: u64 = 10_000;

/// One event may have so many bytes.
pub const EVENT_BYTES_MAX: u64 = 64 << 10;

/// An event that is published again within this time is known by its id: what is tried again
/// after an outage may have been stored before it.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const READING: &str = "reading the history";

/// JetStream's error numbers that mean something here.
const NO_MESSAGE: u32 = 10037;
const STREAM_NAME_IN_USE: u32 = 10058;
const STREAM_NOT_FOUND: u32 = 10059;

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
    stream: String,
}

#[derive(Debug, Deserialize)]
struct Stored {
    message: StoredMessage,
}

#[derive(Debug, Deserialize)]
struct StoredMessage {
    seq: u64,
}

#[derive(Debug, Deserialize)]
struct StreamInfo {
    config: StreamConfig,
    #[serde(default)]
    state: StreamState,
}

#[derive(Debug, Default, Deserialize)]
struct StreamState {
    #[serde(default)]
    last_seq: u64,
}

#[derive(Debug, Deserialize)]
struct StreamConfig {
    #[serde(default)]
    subjects: Vec<String>,
    #[serde(default)]
    retention: String,
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

/// The stream of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    client: Client,
    name: String,
    subject: String,
}

impl Stream {
    pub(crate) fn at(client: Client, cluster: &ClusterId) -> Self {
        Self { client, name: cluster.history_stream(), subject: cluster.history_subject() }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the subjects of the events begin with.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// Makes the stream when it is missing, and looks whether it is one.
    pub(crate) async fn ensure(&self, replicas: usize) -> Result<(), HistoryError> {
        if !self.look().await? {
            self.create(replicas).await?;
            self.look().await?;
        }
        Ok(())
    }

    /// Whether it is there, and can hold the history.
    async fn look(&self) -> Result<bool, HistoryError> {
        let info: StreamInfo = match self.call("INFO", &json!({})).await {
            Ok(info) => info,
            Err(failure) if failure.is(STREAM_NOT_FOUND) => return Ok(false),
            Err(failure) => return Err(self.failed(failure, "looking at the history")),
        };
        let refuse = |why: &str| {
            let stream = self.name.clone();
            Err(HistoryError::ForeignStream { stream, why: String::from(why) })
        };
        if info.config.subjects != [format!("{}.>", self.subject)] {
            return refuse("its subjects are others");
        }
        if info.config.retention != "limits" {
            return refuse("it drops what was read");
        }
        Ok(true)
    }

    async fn create(&self, replicas: usize) -> Result<(), HistoryError> {
        let config = json!({
            "name": self.name,
            "description": "what has happened in the cluster, for ccm history",
            "subjects": [format!("{}.>", self.subject)],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": nanos(AGE_MAX),
            "max_bytes": BYTES_MAX,
            "max_msgs": MESSAGES_MAX,
            "max_msg_size": EVENT_BYTES_MAX,
            "max_consumers": -1,
            "duplicate_window": nanos(KNOWN_FOR),
            "num_replicas": replicas,
            "allow_direct": true,
        });
        match self.call::<Value>("CREATE", &config).await {
            Ok(_) => Ok(()),
            // Another node was first.
            Err(failure) if failure.is(STREAM_NAME_IN_USE) => Ok(()),
            Err(failure) => Err(self.failed(failure, "creating the stream of the history")),
        }
    }

    /// Stores an event, once however often it is tried with the same id.
    pub(crate) async fn put(
        &self,
        subject: String,
        id: &str,
        payload: Vec<u8>,
    ) -> Result<(), HistoryError> {
        let what = "recording an event";
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let request = Request::new().headers(headers).payload(payload.into());
        match self.exchange::<Ack>(subject, request).await {
            Ok(ack) if ack.stream == self.name => Ok(()),
            Ok(ack) => {
                let why = format!("the stream {} has its subjects", ack.stream);
                Err(HistoryError::ForeignStream { stream: self.name.clone(), why })
            }
            Err(failure) => Err(self.failed(failure, what)),
        }
    }

    /// The sequence of the newest event with a subject like this; `None` when there is none.
    pub(crate) async fn last(&self, filter: &str) -> Result<Option<u64>, HistoryError> {
        match self.call::<Stored>("MSG.GET", &json!({ "last_by_subj": filter })).await {
            Ok(stored) => Ok(Some(stored.message.seq)),
            Err(failure) if failure.is(NO_MESSAGE) => Ok(None),
            Err(failure) => Err(self.failed(failure, READING)),
        }
    }

    /// The highest sequence that was ever given in this stream.
    pub(crate) async fn last_sequence(&self) -> Result<u64, HistoryError> {
        match self.call::<StreamInfo>("INFO", &json!({})).await {
            Ok(info) => Ok(info.state.last_seq),
            Err(failure) => Err(self.failed(failure, READING)),
        }
    }

    /// A consumer was not made.
    pub(crate) fn no_consumer(&self, error: ConsumerError) -> HistoryError {
        if let ConsumerErrorKind::JetStream(refused) = error.kind() {
            let code = u32::try_from(refused.error_code().0).unwrap_or(u32::MAX);
            let description = refused.to_string();
            let refused = Failure::Refused(ServerError { err_code: code, description });
            return self.failed(refused, READING);
        }
        self.unavailable(error.into())
    }

    /// NATS does not tell.
    pub(crate) fn unavailable(
        &self,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> HistoryError {
        self.failed(Failure::Away(source), READING)
    }

    fn failed(&self, failure: Failure, what: &'static str) -> HistoryError {
        let stream = || self.name.clone();
        match failure {
            Failure::Nobody => HistoryError::NoStream { stream: stream(), what },
            Failure::Refused(error) if error.err_code == STREAM_NOT_FOUND => {
                HistoryError::NoStream { stream: stream(), what }
            }
            Failure::Refused(ServerError { err_code: code, description }) => {
                HistoryError::Refused { what, description, code }
            }
            Failure::Away(source) => HistoryError::Unavailable { what, source },
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        request: &Value,
    ) -> Result<T, Failure> {
        let subject = format!("$JS.API.STREAM.{operation}.{}", self.name);
        let request = Request::new().payload(request.to_string().into());
        self.exchange(subject, request).await
    }

    /// Nothing is sent while disconnected: the client would keep it, and what is tried again
    /// would come twice.
    async fn exchange<T: DeserializeOwned>(
        &self,
        subject: String,
        request: Request,
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

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
