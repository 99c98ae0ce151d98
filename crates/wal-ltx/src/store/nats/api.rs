//! Requests to JetStream, spoken directly: the client library's object store cannot carry the
//! fence, and its error kinds differ per call. Here every failure is one of three.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, RequestErrorKind, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::store::StoreError;

/// JetStream error numbers that mean something here.
pub(super) mod code {
    pub(in super::super) const NO_MESSAGE: u32 = 10037;
    pub(in super::super) const STREAM_NAME_IN_USE: u32 = 10058;
    pub(in super::super) const STREAM_NOT_FOUND: u32 = 10059;
    pub(in super::super) const WRONG_LAST_SEQUENCE: u32 = 10071;
    pub(in super::super) const GUARD_IN_FLIGHT: u32 = 10164;
}

const LAST_OF_SEQUENCE: &str = "Nats-Sequence";
const MESSAGE_SUBJECT: &str = "Nats-Subject";
const MESSAGE_TIME: &str = "Nats-Time-Stamp";

/// Between two looks at the connection while an answer is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(50);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error that the server answered with.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("the server refused it: {description} (error {err_code})")]
pub(super) struct ServerError {
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    description: String,
}

/// What the client is not at the moment.
#[derive(Debug, thiserror::Error)]
#[error("not connected to NATS")]
struct NotConnected;

/// Why a request gave no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with an error: nothing happened.
    Refused(ServerError),
    /// Nobody got the request: nothing happened.
    NotSent(BoxError),
    /// It was sent and no answer, or one that makes no sense, came back.
    NoAnswer(BoxError),
}

impl Failure {
    /// The error for an operation that changes nothing.
    pub(super) fn reading(self, what: impl Into<String>) -> StoreError {
        let source = match self {
            Self::Refused(error) => Box::new(error),
            Self::NotSent(source) | Self::NoAnswer(source) => source,
        };
        StoreError::Unavailable { what: what.into(), source }
    }

    /// The error for an operation that may have happened.
    pub(super) fn writing(self, what: impl Into<String>) -> StoreError {
        match self {
            Self::NoAnswer(_) => StoreError::Ambiguous { what: what.into() },
            Self::Refused(_) | Self::NotSent(_) => self.reading(what),
        }
    }

    /// Whether the server refused with this error number.
    pub(super) fn is(&self, err_code: u32) -> bool {
        matches!(self, Self::Refused(error) if error.err_code == err_code)
    }
}

/// A message of the stream.
#[derive(Debug, Clone)]
pub(super) struct StoredMessage {
    pub(super) subject: String,
    pub(super) sequence: u64,
    /// When the server stored it, RFC 3339.
    pub(super) time: String,
    pub(super) payload: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reply<T> {
    Error { error: ServerError },
    Ok(T),
}

#[derive(Debug, Deserialize)]
struct Ack {
    seq: u64,
}

#[derive(Debug, Deserialize)]
struct GetReply {
    message: RawMessage,
}

#[derive(Debug, Deserialize)]
struct RawMessage {
    subject: String,
    seq: u64,
    time: String,
    #[serde(default)]
    data: String,
}

/// Which messages of a subject to read, in stream order.
#[derive(Debug, Serialize)]
pub(super) struct Batch<'a> {
    /// From this stream sequence on.
    pub(super) seq: u64,
    /// A subject, possibly with wildcards.
    pub(super) next_by_subj: &'a str,
    /// At most so many messages.
    pub(super) batch: usize,
    /// Stop after so many bytes.
    pub(super) max_bytes: usize,
}

/// The JetStream API of one connection.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) client: Client,
    pub(super) timeout: Duration,
}

impl Api {
    /// Sends `request` to `$JS.API.<operation>` and reads the answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        request: &impl Serialize,
    ) -> Result<T, Failure> {
        let payload = serde_json::to_vec(request).map_err(|e| Failure::NotSent(e.into()))?;
        let request = async_nats::Request::new().payload(payload.into());
        self.exchange(format!("$JS.API.{operation}"), request).await
    }

    /// Publishes into a stream and returns the sequence of the message.
    pub(super) async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, Failure> {
        let request = async_nats::Request::new().payload(payload).headers(headers);
        let ack: Ack = self.exchange(String::from(subject), request).await?;
        Ok(ack.seq)
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        subject: String,
        request: async_nats::Request,
    ) -> Result<T, Failure> {
        self.check_connected()?;
        let request = request.timeout(Some(self.timeout));
        let answer = self.while_connected(self.client.send_request(subject, request));
        match answer.await.ok_or_else(|| Failure::NoAnswer(NotConnected.into()))? {
            Ok(message) => parse(&message.payload),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::TimedOut | RequestErrorKind::Other => {
                    Failure::NoAnswer(error.into())
                }
                RequestErrorKind::NoResponders
                | RequestErrorKind::InvalidSubject
                | RequestErrorKind::MaxPayloadExceeded => Failure::NotSent(error.into()),
            }),
        }
    }

    /// A request made while disconnected would be kept and sent later, after its caller has
    /// given up on it.
    pub(super) fn check_connected(&self) -> Result<(), Failure> {
        if self.client.connection_state() == State::Connected {
            Ok(())
        } else {
            Err(Failure::NotSent(NotConnected.into()))
        }
    }

    /// The answer to what was sent on this connection; `None` when the connection is lost before:
    /// answers do not come on another one, so whoever waited on would wait for nothing.
    pub(super) async fn while_connected<F: Future>(&self, answer: F) -> Option<F::Output> {
        let connects = self.connects();
        let lost = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if self.check_connected().is_err() || self.connects() != connects {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = lost => None,
        }
    }

    /// How often a connection was made.
    pub(super) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Reads one message from the stream's leader; `None` when there is none.
    pub(super) async fn message(
        &self,
        stream: &str,
        query: serde_json::Value,
    ) -> Result<Option<StoredMessage>, Failure> {
        let reply: GetReply = match self.call(&format!("STREAM.MSG.GET.{stream}"), &query).await {
            Ok(reply) => reply,
            Err(failure) if failure.is(code::NO_MESSAGE) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let raw = reply.message;
        let payload = STANDARD.decode(raw.data).map_err(|e| Failure::NoAnswer(e.into()))?;
        let payload = Bytes::from(payload);
        Ok(Some(StoredMessage { subject: raw.subject, sequence: raw.seq, time: raw.time, payload }))
    }

    /// Reads a batch in one round trip from any replica of the stream, which may lag behind its
    /// leader; empty when the replica has nothing, or the bucket does not allow direct reads.
    pub(super) async fn batch(
        &self,
        stream: &str,
        query: &Batch<'_>,
    ) -> Result<Vec<StoredMessage>, Failure> {
        self.check_connected()?;
        let payload = serde_json::to_vec(query).map_err(|e| Failure::NotSent(e.into()))?;
        let inbox = self.client.new_inbox();
        let mut answers =
            self.client.subscribe(inbox.clone()).await.map_err(|e| Failure::NotSent(e.into()))?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        self.client
            .publish_with_reply(subject, inbox, payload.into())
            .await
            .map_err(|e| Failure::NotSent(e.into()))?;
        let mut messages = Vec::new();
        let mut deadline = Instant::now() + self.timeout;
        loop {
            let next = self.while_connected(timeout_at(deadline, answers.next()));
            let message = match next.await {
                Some(Ok(Some(message))) => message,
                Some(Ok(None)) | None => return Err(Failure::NoAnswer(NotConnected.into())),
                Some(Err(elapsed)) => return Err(Failure::NoAnswer(elapsed.into())),
            };
            if message.status.is_some_and(|status| status != StatusCode::OK) {
                return Ok(messages);
            }
            let Some(stored) = stored(&message) else { return Ok(messages) };
            messages.push(stored);
            deadline = Instant::now() + self.timeout;
        }
    }
}

/// A message as a direct read delivers it; `None` for the end marker of a batch.
fn stored(message: &async_nats::Message) -> Option<StoredMessage> {
    let headers = message.headers.as_ref()?;
    let text = |name: &str| headers.get(name).map(|v| String::from(v.as_str()));
    Some(StoredMessage {
        subject: text(MESSAGE_SUBJECT)?,
        sequence: text(LAST_OF_SEQUENCE)?.parse().ok()?,
        time: text(MESSAGE_TIME).unwrap_or_default(),
        payload: message.payload.clone(),
    })
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    match serde_json::from_slice(payload) {
        Ok(Reply::Ok(value)) => Ok(value),
        Ok(Reply::Error { error }) => Err(Failure::Refused(error)),
        Err(error) => Err(Failure::NoAnswer(error.into())),
    }
}

/// The sequence in the answer to a publish whose reply was awaited elsewhere.
pub(super) fn ack(message: &async_nats::Message) -> Result<u64, Failure> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(Failure::NotSent(NotConnected.into()));
    }
    parse::<Ack>(&message.payload).map(|ack| ack.seq)
}
