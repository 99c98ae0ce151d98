//! Offering the micro service of one node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{self, ServiceExt as _, error};
use bytes::Bytes;
use ccm_types::{ClusterId, NodeId};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{
    Answer, ControlError, DemoteRequest, Pong, SnapshotAnswer, SnapshotRequest, SnapshotTaken,
    Status, subject,
};

/// Requests of one endpoint that are answered at a time; more wait in the connection.
const AT_ONCE: usize = 16;

/// What is said to a question that the daemon no longer answers.
const ENDING: &str = "the daemon is ending";
const ENDING_CODE: usize = 503;

/// How long the server may take to know of all endpoints.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// How long the last answers may take to leave.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

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
    /// Take a snapshot now.
    Snapshot(SnapshotRequest, oneshot::Sender<Result<SnapshotTaken, String>>),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Status,
    Ping,
    Demote,
    Promote,
    Leave,
    Snapshot,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Status, Self::Ping, Self::Demote, Self::Promote, Self::Leave, Self::Snapshot];

    fn endpoint(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Ping => "ping",
            Self::Demote => "control.demote",
            Self::Promote => "control.promote",
            Self::Leave => "control.leave",
            Self::Snapshot => "control.snapshot",
        }
    }
}

/// A running service; ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Service {
    client: async_nats::Client,
    name: String,
    /// There until the end.
    service: Option<service::Service>,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Service {
    /// Offers the service of `node`; what is asked comes out of `requests`' other end. Returns
    /// when the server knows of it, or within two seconds while NATS is away: it then knows when
    /// it is back.
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
        let mut offered = Self {
            client,
            name: name.clone(),
            service: None,
            cancel: CancellationToken::new(),
            tracker: TaskTracker::new(),
        };
        let added = offered.add_endpoints(&service, cluster, node, &requests).await;
        // From here on withdrawn when it is dropped.
        offered.service = Some(service);
        added.map_err(refuse)?;
        offered.wait_known().await;
        Ok(offered)
    }

    /// Waits until the server has read the subscriptions. It reads what a connection sends in
    /// order, so the answer to a question that was sent after them says so.
    async fn wait_known(&self) {
        let Some(service) = &self.service else { return };
        let id = service.info().await.id;
        let asked = self.client.request(format!("$SRV.PING.{}.{id}", self.name), Bytes::new());
        match timeout(KNOWN_WITHIN, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the micro service is not known yet"),
            Err(_) => tracing::debug!("the micro service is not known within {KNOWN_WITHIN:?}"),
        }
    }

    async fn add_endpoints(
        &self,
        service: &service::Service,
        cluster: &ClusterId,
        node: &NodeId,
        requests: &mpsc::Sender<Request>,
    ) -> Result<(), async_nats::Error> {
        for kind in Kind::ALL {
            let label = kind.endpoint().replace('.', "-");
            let at = subject(cluster, node, kind.endpoint());
            let endpoint = service.endpoint_builder().name(label).add(at).await?;
            let (requests, token) = (requests.clone(), self.cancel.clone());
            self.tracker.spawn(serve(endpoint, kind, requests, token, self.tracker.clone()));
        }
        self.tracker.close();
        Ok(())
    }

    /// The name that `$SRV.INFO` shows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the service. Questions that the daemon has answered get their answer, the others are
    /// told that it is ending.
    pub async fn stop(mut self) {
        self.withdraw();
        self.tracker.wait().await;
        if !matches!(timeout(FLUSH_WITHIN, self.client.flush()).await, Ok(Ok(()))) {
            tracing::debug!("the last answers may be lost");
        }
    }

    /// Takes no more questions.
    fn withdraw(&mut self) {
        self.cancel.cancel();
        // Dropping the library's service would leave it answering; its stop never waits.
        if let Some(Some(Err(error))) = self.service.take().map(|s| s.stop().now_or_never()) {
            tracing::debug!(%error, "the micro service was not withdrawn");
        }
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
            // An answer that is there goes out, also at the end.
            let answered = tokio::select! {
                biased;
                answered = answer(kind, &asked.message.payload, requests) => answered,
                () = cancel.cancelled() => None,
            };
            let ending = || error::Error { status: String::from(ENDING), code: ENDING_CODE };
            if let Err(error) = asked.respond(answered.ok_or_else(ending)).await {
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
            let request: DemoteRequest = match parse(payload) {
                Ok(request) => request,
                Err(error) => return said(Err(error)),
            };
            said(ask(&requests, |reply| Request::Demote(request, reply)).await?)
        }
        Kind::Promote => said(ask(&requests, Request::Promote).await?),
        Kind::Leave => said(ask(&requests, Request::Leave).await?),
        Kind::Snapshot => {
            let taken = match parse::<SnapshotRequest>(payload) {
                Ok(request) => ask(&requests, |reply| Request::Snapshot(request, reply)).await?,
                Err(error) => Err(error),
            };
            json(&match taken {
                Ok(taken) => SnapshotAnswer { ok: true, error: None, snapshot: Some(taken) },
                Err(error) => SnapshotAnswer { ok: false, error: Some(error), snapshot: None },
            })
        }
    }
}

/// A request; an empty payload asks for what is usual.
fn parse<T: DeserializeOwned + Default>(payload: &[u8]) -> Result<T, String> {
    if payload.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(payload).map_err(|error| format!("the request is not valid: {error}"))
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
