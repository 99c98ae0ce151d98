//! Requests to JetStream with a deadline each, sent at once or not at all.
//!
//! The client library would keep a request that is made while it is disconnected and send it
//! when it is connected again, which may be long after the lease that it renews has ended.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Request, RequestErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// JetStream error numbers that mean something here.
const NO_MESSAGE: u32 = 10037;
const STREAM_NAME_IN_USE: u32 = 10058;
const STREAM_NOT_FOUND: u32 = 10059;
const WRONG_LAST_SEQUENCE: u32 = 10071;

/// The header that makes a write a compare-and-set.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// An error that the server answered with.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("the server refused it: {description} (error {err_code})")]
pub(super) struct ServerError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

/// Why a request gave no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Refused(ServerError),
    #[error("not connected to NATS")]
    NotConnected,
    /// Nobody got it: nothing happened.
    #[error("nobody took the request: {0}")]
    NotSent(BoxError),
    /// It may have happened.
    #[error("no answer: {0}")]
    NoAnswer(BoxError),
}

impl Failure {
    fn code(&self) -> Option<u32> {
        match self {
            Self::Refused(error) => Some(error.err_code),
            Self::NotConnected | Self::NotSent(_) | Self::NoAnswer(_) => None,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        self.code() == Some(STREAM_NOT_FOUND)
    }

    pub(super) fn is_name_taken(&self) -> bool {
        self.code() == Some(STREAM_NAME_IN_USE)
    }

    /// The key has another revision than expected.
    pub(super) fn is_conflict(&self) -> bool {
        self.code() == Some(WRONG_LAST_SEQUENCE)
    }
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
struct Got {
    message: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    seq: u64,
    #[serde(default)]
    data: String,
}

/// The JetStream API of one connection.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) client: Client,
    pub(super) timeout: Duration,
}

impl Api {
    pub(super) fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Sends `body` to `$JS.API.<operation>` and reads the answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let request = Request::new().payload(Bytes::from(body.to_string()));
        self.exchange(format!("$JS.API.{operation}"), request).await
    }

    /// Publishes if the last message of `subject` has this sequence; returns the new one.
    pub(super) async fn publish(
        &self,
        subject: String,
        expected: u64,
        payload: Vec<u8>,
    ) -> Result<u64, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED, expected.to_string());
        let request = Request::new().headers(headers).payload(payload.into());
        let ack: Ack = self.exchange(subject, request).await?;
        Ok(ack.seq)
    }

    /// The last message of `subject` from the stream's leader, and its sequence.
    pub(super) async fn last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<(u64, Vec<u8>)>, Failure> {
        let operation = format!("STREAM.MSG.GET.{stream}");
        let got: Got = match self.call(&operation, &json!({ "last_by_subj": subject })).await {
            Ok(got) => got,
            Err(failure) if failure.code() == Some(NO_MESSAGE) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let data = STANDARD.decode(got.message.data).map_err(|e| Failure::NoAnswer(e.into()))?;
        Ok(Some((got.message.seq, data)))
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        subject: String,
        request: Request,
    ) -> Result<T, Failure> {
        if !self.connected() {
            return Err(Failure::NotConnected);
        }
        let asked = self.client.send_request(subject, request.timeout(Some(self.timeout)));
        // The library's own limit does not cover a connection that takes no more requests.
        match tokio::time::timeout(self.timeout, asked).await {
            Err(elapsed) => Err(Failure::NoAnswer(elapsed.into())),
            Ok(Ok(message)) => match serde_json::from_slice(&message.payload) {
                Ok(Reply::Ok(value)) => Ok(value),
                Ok(Reply::Error { error }) => Err(Failure::Refused(error)),
                Err(error) => Err(Failure::NoAnswer(error.into())),
            },
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::TimedOut | RequestErrorKind::Other => {
                    Failure::NoAnswer(error.into())
                }
                RequestErrorKind::NoResponders
                | RequestErrorKind::InvalidSubject
                | RequestErrorKind::MaxPayloadExceeded => Failure::NotSent(error.into()),
            }),
        }
    }
}
