//! Offering the micro service of one node.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{self, ServiceExt as _};
use bytes::Bytes;
use ccm_types::{ClusterId, NodeId};
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Answer, ControlError, DemoteRequest, Pong, Status, subject};

/// Requests of one endpoint that are answered at a time; more wait in the connection.
const AT_ONCE: usize = 16;

/// A question and the way to answer it. Whoever drops the way says that the daemon is ending.
#[derive(Debug)]
pub enum Request {
    /// What do you know?
    Status(oneshot::Sender<Status>),
    /// Are you alive?
    Ping(oneshot::Sender<Pong>),
    /// Give the leadership away.
    Demote(DemoteRequest, oneshot::Sender<Result<(), String>>),
    /// Become the primary.
    Promote(oneshot::Sender<Result<(), String>>),
    /// Leave the cluster.
    Leave(oneshot::Sender<Result<(), String>>),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Status,
    Ping,
    Demote,
    Promote,
    Leave,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Status, Self::Ping, Self::Demote, Self::Promote, Self::Leave];

    fn endpoint(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Ping => "ping",
            Self::Demote => "control.demote",
            Self::Promote => "control.promote",
            Self::Leave => "control.leave",
        }
    }
}

/// A running service; ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Service {
    service: service::Service,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Service {
    /// Offers the service of `node`; what is asked comes out of `requests`' other end.
    ///
    /// # Errors
    /// [`ControlError::Offer`].
    pub async fn start(
        client: async_nats::Client,
        cluster: &ClusterId,
        node: &NodeId,
        requests: mpsc::Sender<Request>,
    ) -> Result<Self, ControlError> {
        let name = format!("convex-{cluster}-{}", node.to_service_name());
        let refuse = |source| ControlError::Offer { name: name.clone(), source };
        let metadata = HashMap::from([
            (String::from("cluster_id"), cluster.to_string()),
            (String::from("node_id"), node.to_string()),
        ]);
        let builder = client.service_builder().description("a ccm daemon").metadata(metadata);
        let service = builder.start(&name, env!("CARGO_PKG_VERSION")).await.map_err(refuse)?;
        let cancel = CancellationToken::new();
        let tracker = TaskTracker::new();
        for kind in Kind::ALL {
            let label = kind.endpoint().replace('.', "-");
            let at = subject(cluster, node, kind.endpoint());
            let endpoint = service.endpoint_builder().name(label).add(at).await.map_err(refuse)?;
            let (requests, token) = (requests.clone(), cancel.clone());
            tracker.spawn(serve(endpoint, kind, requests, token, tracker.clone()));
        }
        tracker.close();
        Ok(Self { service, cancel, tracker })
    }

    /// Who is asked for over `$SRV.INFO`.
    pub async fn name(&self) -> String {
        self.service.info().await.name
    }

    /// Ends the service; questions that are not answered yet stay without an answer.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tracker.wait().await;
    }
}

/// Answers one endpoint, several requests at a time.
async fn serve(
    mut endpoint: Endpoint,
    kind: Kind,
    requests: mpsc::Sender<Request>,
    cancel: CancellationToken,
    tracker: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, endpoint.next().await?))
        };
        let Some(Some((place, asked))) = cancel.run_until_cancelled(next).await else { return };
        let (requests, cancel) = (requests.clone(), cancel.clone());
        tracker.spawn(async move {
            let answered =
                cancel.run_until_cancelled(answer(kind, &asked.message.payload, requests));
            if let Some(Some(payload)) = answered.await
                && let Err(error) = asked.respond(Ok(payload)).await
            {
                tracing::debug!(%error, "an answer was not sent");
            }
            drop(place);
        });
    }
}

/// The payload of the answer; `None` when the daemon is ending.
async fn answer(kind: Kind, payload: &[u8], requests: mpsc::Sender<Request>) -> Option<Bytes> {
    match kind {
        Kind::Status => json(&ask(&requests, Request::Status).await?),
        Kind::Ping => json(&ask(&requests, Request::Ping).await?),
        Kind::Demote => {
            let request = if payload.is_empty() {
                DemoteRequest::default()
            } else {
                match serde_json::from_slice(payload) {
                    Ok(request) => request,
                    Err(error) => return said(Err(format!("the request is not valid: {error}"))),
                }
            };
            said(ask(&requests, |reply| Request::Demote(request, reply)).await?)
        }
        Kind::Promote => said(ask(&requests, Request::Promote).await?),
        Kind::Leave => said(ask(&requests, Request::Leave).await?),
    }
}

async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    requests.send(request(reply)).await.ok()?;
    answer.await.ok()
}

fn said(result: Result<(), String>) -> Option<Bytes> {
    json(&match result {
        Ok(()) => Answer { ok: true, error: None },
        Err(error) => Answer { ok: false, error: Some(error) },
    })
}

fn json(value: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).ok()
}
