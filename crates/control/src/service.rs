//! Offering the micro service of one node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{HeaderMap, Message, Subscriber};
use bytes::Bytes;
use ccm_types::{ClusterId, NodeId};
use futures_util::StreamExt as _;
use futures_util::stream::{SelectAll, select_all};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::micro::{self, Counted, Endpoint, Failed, Identity, QUEUE_GROUP, Verb};
use crate::{
    Answer, ControlError, DemoteRequest, Pong, SnapshotAnswer, SnapshotRequest, SnapshotTaken,
    Status, subject,
};

/// Requests of one endpoint that are answered at a time; more wait in the connection.
const AT_ONCE: usize = 16;

/// What is said to a question that the daemon no longer answers.
const ENDING: &str = "the daemon is ending";
const ENDING_CODE: u16 = 503;

/// The codes of a request that makes no sense, and of one that the node does not carry out.
const NONSENSE_CODE: u16 = 400;
const REFUSED_CODE: u16 = 409;

/// What the service is, for people.
const DESCRIPTION: &str = "a ccm daemon: one node of a cluster";

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    fn description(self) -> &'static str {
        match self {
            Self::Status => "what the node measures and what the others say, as ccm status --json",
            Self::Ping => "who answers",
            Self::Demote => "give the leadership away, to the node in successor if there is one",
            Self::Promote => "become the primary; answered when the node serves",
            Self::Leave => "leave the cluster",
            Self::Snapshot => "put a snapshot of the whole database into the bucket",
        }
    }
}

/// A running service; ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Service {
    client: async_nats::Client,
    offered: Arc<Offered>,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

/// What the service says of itself.
#[derive(Debug)]
struct Offered {
    identity: Identity,
    started: String,
    endpoints: Mutex<Vec<Endpoint>>,
}

impl Offered {
    fn endpoints(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An endpoint has answered.
    fn note(&self, kind: Kind, took: Duration, error: Option<&Failed>) {
        let mut endpoints = self.endpoints();
        let of_kind = Kind::ALL.iter().zip(endpoints.iter_mut());
        for (other, endpoint) in of_kind {
            if *other == kind {
                endpoint.counted.note(took, error);
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.cancel.cancel();
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
        let identity = Identity {
            name: name.clone(),
            id: nuid::next().to_string(),
            version: String::from(env!("CARGO_PKG_VERSION")),
            metadata: [("cluster_id", cluster.to_string()), ("node_id", node.to_string())].into(),
        };
        let endpoints = Kind::ALL.map(|kind| Endpoint {
            name: kind.endpoint().replace('.', "-"),
            subject: subject(cluster, node, kind.endpoint()),
            description: kind.description(),
            counted: Counted::default(),
        });
        let offered = Arc::new(Offered {
            identity,
            started: format!("{:.3}", jiff::Timestamp::now()),
            endpoints: Mutex::new(endpoints.to_vec()),
        });
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let service = Self { client, offered, cancel, tracker };
        let refuse = |source| ControlError::Offer { name: name.clone(), source };
        service.offer(&requests).await.map_err(refuse)?;
        service.wait_known().await;
        Ok(service)
    }

    /// Subscribes to everything, and answers.
    async fn offer(&self, requests: &mpsc::Sender<Request>) -> Result<(), async_nats::Error> {
        for verb in Verb::ALL {
            let mut asked = Vec::new();
            for subject in verb.subjects(&self.offered.identity) {
                asked.push(self.client.subscribe(subject).await?);
            }
            let (client, offered) = (self.client.clone(), Arc::clone(&self.offered));
            let telling = tell(select_all(asked), verb, client, offered);
            let cancel = self.cancel.clone();
            self.tracker.spawn(async move {
                cancel.run_until_cancelled(telling).await;
            });
        }
        let subjects: Vec<String> =
            self.offered.endpoints().iter().map(|endpoint| endpoint.subject.clone()).collect();
        for (kind, subject) in Kind::ALL.into_iter().zip(subjects) {
            let asked = self.client.queue_subscribe(subject, String::from(QUEUE_GROUP)).await?;
            let serving = Serving {
                kind,
                client: self.client.clone(),
                offered: Arc::clone(&self.offered),
                requests: requests.clone(),
                cancel: self.cancel.clone(),
            };
            self.tracker.spawn(serving.run(asked, self.tracker.clone()));
        }
        self.tracker.close();
        Ok(())
    }

    /// Waits until the server has read the subscriptions. It reads what a connection sends in
    /// order, so the answer to a question that was sent after them says so.
    async fn wait_known(&self) {
        let [_, _, own] = Verb::Ping.subjects(&self.offered.identity);
        match timeout(KNOWN_WITHIN, self.client.request(own, Bytes::new())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the micro service is not known yet"),
            Err(_) => tracing::debug!("the micro service is not known within {KNOWN_WITHIN:?}"),
        }
    }

    /// The name that `$SRV.INFO` shows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.offered.identity.name
    }

    /// Ends the service. Questions that the daemon has answered get their answer, the others are
    /// told that it is ending.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tracker.wait().await;
        if !matches!(timeout(FLUSH_WITHIN, self.client.flush()).await, Ok(Ok(()))) {
            tracing::debug!("the last answers may be lost");
        }
    }
}

/// Answers a question of the protocol. What cannot be answered is no reason to end.
async fn tell(
    mut asked: SelectAll<Subscriber>,
    verb: Verb,
    client: async_nats::Client,
    offered: Arc<Offered>,
) {
    while let Some(message) = asked.next().await {
        let Some(reply) = message.reply else { continue };
        let answer = {
            let Offered { identity, started, .. } = &*offered;
            micro::answer(verb, identity, DESCRIPTION, started, &offered.endpoints())
        };
        if let Err(error) = client.publish(reply, answer.to_string().into()).await {
            tracing::debug!(%error, "an answer was not sent");
        }
    }
}

/// What one endpoint needs.
#[derive(Debug, Clone)]
struct Serving {
    kind: Kind,
    client: async_nats::Client,
    offered: Arc<Offered>,
    requests: mpsc::Sender<Request>,
    cancel: CancellationToken,
}

impl Serving {
    /// Answers, several requests at a time.
    async fn run(self, mut asked: Subscriber, tracker: TaskTracker) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, asked.next().await?))
            };
            let Some(Some((place, message))) = self.cancel.run_until_cancelled(next).await else {
                return;
            };
            let serving = self.clone();
            tracker.spawn(async move {
                serving.one(message).await;
                drop(place);
            });
        }
    }

    async fn one(&self, message: Message) {
        let begun = Instant::now();
        // An answer that is there goes out, also at the end.
        let answered = tokio::select! {
            biased;
            answered = answer(self.kind, &message.payload, self.requests.clone()) => answered,
            () = self.cancel.cancelled() => None,
        };
        let Answered { payload, failed } = answered.unwrap_or_else(Answered::ending);
        self.offered.note(self.kind, begun.elapsed(), failed.as_ref());
        let Some(reply) = message.reply else { return };
        let sent = match failed {
            None => self.client.publish(reply, payload).await,
            Some(Failed { code, words }) => {
                let mut headers = HeaderMap::new();
                headers.insert(NATS_SERVICE_ERROR, words);
                headers.insert(NATS_SERVICE_ERROR_CODE, code.to_string());
                self.client.publish_with_headers(reply, headers, payload).await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was not sent");
        }
    }
}

/// What goes back: the JSON of this crate, and for standard tools whether that is an error.
#[derive(Debug)]
struct Answered {
    payload: Bytes,
    failed: Option<Failed>,
}

impl Answered {
    fn ending() -> Self {
        Self { payload: Bytes::new(), failed: Some(Failed::new(ENDING_CODE, ENDING)) }
    }
}

/// The answer; `None` when the daemon is ending.
async fn answer(kind: Kind, payload: &[u8], requests: mpsc::Sender<Request>) -> Option<Answered> {
    match kind {
        Kind::Status => json(&ask(&requests, Request::Status).await?, None),
        Kind::Ping => json(&ask(&requests, Request::Ping).await?, None),
        Kind::Demote => match parse::<DemoteRequest>(payload) {
            Ok(request) => {
                said(ask(&requests, |reply| Request::Demote(request, reply)).await?, REFUSED_CODE)
            }
            Err(error) => said(Err(error), NONSENSE_CODE),
        },
        Kind::Promote => said(ask(&requests, Request::Promote).await?, REFUSED_CODE),
        Kind::Leave => said(ask(&requests, Request::Leave).await?, REFUSED_CODE),
        Kind::Snapshot => {
            let (taken, code) = match parse::<SnapshotRequest>(payload) {
                Ok(request) => {
                    let taken = ask(&requests, |reply| Request::Snapshot(request, reply)).await?;
                    (taken, REFUSED_CODE)
                }
                Err(error) => (Err(error), NONSENSE_CODE),
            };
            let failed = taken.as_ref().err().map(|words| Failed::new(code, words));
            let answer = match taken {
                Ok(taken) => SnapshotAnswer { ok: true, error: None, snapshot: Some(taken) },
                Err(error) => SnapshotAnswer { ok: false, error: Some(error), snapshot: None },
            };
            json(&answer, failed)
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

fn said(result: Result<(), String>, code: u16) -> Option<Answered> {
    let failed = result.as_ref().err().map(|words| Failed::new(code, words));
    let answer = match result {
        Ok(()) => Answer { ok: true, error: None },
        Err(error) => Answer { ok: false, error: Some(error) },
    };
    json(&answer, failed)
}

fn json(value: &impl Serialize, failed: Option<Failed>) -> Option<Answered> {
    let payload = serde_json::to_vec(value).map(Bytes::from).ok()?;
    Some(Answered { payload, failed })
}
