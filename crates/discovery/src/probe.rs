//! One question to a service: over HTTP, or whether it takes a connection at all.

use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Bytes of a body that are searched.
const BODY_MAX: usize = 64 * 1024;

/// How a service is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConfig {
    /// What is asked.
    pub kind: ProbeKind,
    /// Between two probes.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Failures in a row before the service is critical.
    pub failures: NonZeroU32,
    /// Successes in a row before it is passing again.
    pub successes: NonZeroU32,
}

impl ProbeConfig {
    /// Every 10 s, each within 3 s; critical after 3 failures, passing after 2 successes.
    #[must_use]
    pub const fn new(kind: ProbeKind) -> Self {
        Self {
            kind,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            failures: NonZeroU32::MIN.saturating_add(2),
            successes: NonZeroU32::MIN.saturating_add(1),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeKind {
    /// Whether it takes a connection.
    Tcp,
    /// GET over HTTP without TLS; redirects are not followed.
    Http {
        /// What is asked for.
        path: String,
        /// The status wanted; `None` takes every 2xx.
        status: Option<u16>,
        /// What the first 64 KiB of the body must contain.
        body: Option<String>,
    },
}

/// A probe of one service. Every check is a connection of its own, so that it also finds out
/// whether new clients get through.
#[derive(Debug, Clone)]
pub struct Probe {
    kind: ProbeKind,
    at: SocketAddr,
    timeout: Duration,
}

impl Probe {
    /// A probe of what listens at `at`.
    #[must_use]
    pub fn new(config: &ProbeConfig, at: SocketAddr) -> Self {
        Self { kind: config.kind.clone(), at, timeout: config.timeout }
    }

    /// Asks once, and answers within the timeout. Cancel safe.
    ///
    /// # Errors
    /// Why the service is not well, in words for the operator.
    pub async fn check(&self) -> Result<(), String> {
        let deadline = Instant::now() + self.timeout;
        let (at, within) = (self.at, self.timeout);
        let stream = match timeout_at(deadline, TcpStream::connect(at)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("no connection to {at}: {error}")),
            Err(_) => return Err(format!("no connection to {at} within {within:?}")),
        };
        match &self.kind {
            ProbeKind::Tcp => Ok(()),
            ProbeKind::Http { path, status, body } => {
                let asking = self.ask(stream, path, *status, body.as_deref());
                let late = || format!("http://{at}{path} has not answered within {within:?}");
                timeout_at(deadline, asking).await.map_err(|_| late())?
            }
        }
    }

    async fn ask(
        &self,
        stream: TcpStream,
        path: &str,
        status: Option<u16>,
        body: Option<&str>,
    ) -> Result<(), String> {
        let url = format!("http://{}{path}", self.at);
        let no_http = |error: &dyn Error| format!("{url} gave no proper HTTP answer: {error}");
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| no_http(&error))?;
        let request = Request::get(path)
            .header(HOST, self.at.to_string())
            .header(USER_AGENT, "ccm")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| format!("{url} cannot be asked for: {error}"))?;
        let answering = async {
            let answer = sender.send_request(request).await.map_err(|error| no_http(&error))?;
            judge(&url, answer, status, body).await
        };
        let (mut answering, mut connection) = (pin!(answering), pin!(connection));
        // The connection moves the bytes; when it ends first, the answer knows how.
        tokio::select! {
            answer = &mut answering => answer,
            _ = &mut connection => answering.await,
        }
    }
}

async fn judge(
    url: &str,
    answer: Response<Incoming>,
    status: Option<u16>,
    body: Option<&str>,
) -> Result<(), String> {
    let got = answer.status();
    match status {
        None if got.is_success() => {}
        Some(wanted) if got.as_u16() == wanted => {}
        None if got == StatusCode::NOT_FOUND => {
            return Err(format!("{url} answered {got}: set healthPath to a path that exists"));
        }
        None => return Err(format!("{url} answered {got}")),
        Some(wanted) => return Err(format!("{url} answered {got}, not {wanted}")),
    }
    let Some(wanted) = body else { return Ok(()) };
    let read = beginning(answer.into_body()).await;
    let read = read.map_err(|error| format!("{url} has not sent its whole body: {error}"))?;
    let found = String::from_utf8_lossy(&read).contains(wanted);
    if found { Ok(()) } else { Err(format!("{url} answered without {wanted:?} in the body")) }
}

/// As much of a body as is searched.
async fn beginning(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut read = Vec::new();
    while read.len() < BODY_MAX {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    read.truncate(BODY_MAX);
    Ok(read)
}
