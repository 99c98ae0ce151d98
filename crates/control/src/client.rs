//! Asking a daemon.

use std::time::Duration;

use async_nats::RequestErrorKind;
use async_nats::connection::State;
use async_nats::service::NATS_SERVICE_ERROR;
use ccm_types::{ClusterId, NodeId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Answer, ControlError, DemoteRequest, Pong, SnapshotAnswer, SnapshotRequest, SnapshotTaken,
    Status, subject,
};

/// How much longer than the daemon whoever asks for a snapshot waits.
const ANSWERS_IN: Duration = Duration::from_secs(2);

/// Asks the daemons of one cluster.
#[derive(Debug, Clone)]
pub struct Client {
    nats: async_nats::Client,
    cluster: ClusterId,
}

impl Client {
    /// Over this connection.
    #[must_use]
    pub fn new(nats: async_nats::Client, cluster: ClusterId) -> Self {
        Self { nats, cluster }
    }

    /// What the daemon of `node` knows.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn status(&self, node: &NodeId, within: Duration) -> Result<Status, ControlError> {
        self.ask(node, "status", &serde_json::Map::new(), within).await
    }

    /// Whether the daemon of `node` lives, and which run of it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn ping(&self, node: &NodeId, within: Duration) -> Result<Pong, ControlError> {
        self.ask(node, "ping", &serde_json::Map::new(), within).await
    }

    /// Asks `node` to give its leadership away; returns when it has.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when it does not lead; the others.
    pub async fn demote(
        &self,
        node: &NodeId,
        request: &DemoteRequest,
        within: Duration,
    ) -> Result<(), ControlError> {
        self.order(node, "control.demote", request, within).await
    }

    /// Asks `node` to become the primary; returns when it serves.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn promote(&self, node: &NodeId, within: Duration) -> Result<(), ControlError> {
        self.order(node, "control.promote", &serde_json::Map::new(), within).await
    }

    /// Asks `node` to leave the cluster; returns when it has.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn leave(&self, node: &NodeId, within: Duration) -> Result<(), ControlError> {
        self.order(node, "control.leave", &serde_json::Map::new(), within).await
    }

    /// Asks `node`, which leads, for a snapshot of the whole database; returns when the bucket has
    /// it. After `within` the daemon says that it goes on.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when it does not lead or did not get through; the others.
    pub async fn snapshot(
        &self,
        node: &NodeId,
        within: Duration,
    ) -> Result<SnapshotTaken, ControlError> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let request = SnapshotRequest { within_ms };
        let answer: SnapshotAnswer =
            self.ask(node, "control.snapshot", &request, within + ANSWERS_IN).await?;
        answer.snapshot.filter(|_| answer.ok).ok_or_else(|| refused(answer.error))
    }

    async fn order(
        &self,
        node: &NodeId,
        endpoint: &str,
        request: &impl Serialize,
        within: Duration,
    ) -> Result<(), ControlError> {
        let answer: Answer = self.ask(node, endpoint, request, within).await?;
        match answer {
            Answer { ok: true, .. } => Ok(()),
            Answer { ok: false, error } => Err(refused(error)),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        node: &NodeId,
        endpoint: &str,
        request: &impl Serialize,
        within: Duration,
    ) -> Result<T, ControlError> {
        let malformed = |source| ControlError::Malformed { node: node.clone(), source };
        if self.nats.connection_state() != State::Connected {
            return Err(ControlError::NotConnected);
        }
        let payload = serde_json::to_vec(request).map_err(malformed)?;
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(within));
        let to = subject(&self.cluster, node, endpoint);
        // The library's own limit does not cover a connection that takes no more requests.
        let asked = tokio::time::timeout(within, self.nats.send_request(to, request)).await;
        let timed_out = || ControlError::TimedOut { node: node.clone(), within };
        let message =
            asked.map_err(|_elapsed| timed_out())?.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => ControlError::NoResponder { node: node.clone() },
                RequestErrorKind::TimedOut
                | RequestErrorKind::Other
                | RequestErrorKind::InvalidSubject
                | RequestErrorKind::MaxPayloadExceeded => timed_out(),
            })?;
        let error = message.headers.as_ref().and_then(|h| h.get(NATS_SERVICE_ERROR));
        // A daemon that has something to say beside the error says it in the payload.
        if let Some(error) = error.filter(|_| message.payload.is_empty()) {
            return Err(ControlError::Refused(format!("node {node}: {error}")));
        }
        serde_json::from_slice(&message.payload).map_err(malformed)
    }
}

fn refused(words: Option<String>) -> ControlError {
    ControlError::Refused(words.unwrap_or_else(|| String::from("the daemon refused")))
}
