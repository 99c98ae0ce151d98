//! One question over HTTP.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The configuration key of the probed URL, for messages.
const KEY: &str = "backend.healthEndpoint";

/// What a probe has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It answered with success (2xx).
    Healthy {
        /// From before the connection to the head of the answer.
        latency: Duration,
    },
    /// It did not.
    Unhealthy {
        /// What happened instead and what can be done about it, in words.
        why: String,
    },
}

/// Why a URL cannot be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It is no URL.
    #[error("{KEY} is {url:?}, which is not a URL like http://127.0.0.1:3210/version")]
    NotAUrl {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        #[source]
        source: hyper::http::uri::InvalidUri,
    },
    /// It lacks a part, or has one that a probe cannot use.
    #[error("{KEY} is {url:?}, {problem}: give a URL like http://127.0.0.1:3210/version")]
    Unusable {
        /// As it was given.
        url: String,
        /// Which part.
        problem: &'static str,
    },
}

/// Asks a URL whether what is behind it is healthy.
///
/// Every [`Probe::check`] is one GET on a connection of its own, so that it also finds out whether
/// new clients get through. Redirects are not followed.
#[derive(Debug, Clone)]
pub struct Probe {
    uri: Uri,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    timeout: Duration,
}

impl Probe {
    /// A probe of `url` (`http` only) that gives up after `timeout`.
    ///
    /// # Errors
    /// [`ProbeError`] when this is no URL that can be probed.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, ProbeError> {
        let unusable = |problem| ProbeError::Unusable { url: url.to_owned(), problem };
        let uri: Uri =
            url.parse().map_err(|source| ProbeError::NotAUrl { url: url.to_owned(), source })?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(unusable("but a probe speaks no TLS")),
            Some(_) => return Err(unusable("but a probe speaks only http")),
            None => return Err(unusable("which lacks http://")),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            // It would be shown with every verdict.
            return Err(unusable("but a probe sends no user or password"));
        }
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(unusable("which names no host"));
        }
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self { uri, host, port, timeout })
    }

    /// Asks once. Answers within the probe's timeout. Cancel safe.
    pub async fn check(&self) -> Verdict {
        let begun = Instant::now();
        match self.ask(begun + self.timeout).await {
            Ok(answer) => self.judge(&answer, begun.elapsed()),
            Err(failure) => Verdict::Unhealthy { why: self.words(&failure) },
        }
    }

    async fn ask(&self, deadline: Instant) -> Result<Response<Incoming>, Failure> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = timeout_at(deadline, connecting)
            .await
            .map_err(|_| Failure::NotConnected)?
            .map_err(Failure::Connect)?;
        let asking = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let answer = sender.send_request(self.request()?);
            let (mut answer, mut connection) = (pin!(answer), pin!(connection));
            // The connection moves the bytes; when it ends first, the answer knows how.
            tokio::select! {
                answer = &mut answer => Ok(answer?),
                _ = &mut connection => Ok(answer.await?),
            }
        };
        timeout_at(deadline, asking).await.map_err(|_| Failure::NotAnswered)?
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, Failure> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, "ccm")
            .header(CONNECTION, "close")
            .body(Empty::new())
            .map_err(Failure::Request)
    }

    fn judge(&self, answer: &Response<Incoming>, latency: Duration) -> Verdict {
        let (url, status) = (&self.uri, answer.status());
        let why = if status.is_success() {
            return Verdict::Healthy { latency };
        } else if status == StatusCode::NOT_FOUND {
            format!(
                "{url} answered {status}: set {KEY} to a path that exists (a stock Convex \
                 backend answers /version)"
            )
        } else if status.is_redirection() {
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.unwrap_or("another place");
            format!("{url} answered {status} and sends to {to}: set {KEY} to where it ends")
        } else {
            format!("{url} answered {status}")
        };
        Verdict::Unhealthy { why }
    }

    fn words(&self, failure: &Failure) -> String {
        let (url, timeout) = (&self.uri, self.timeout);
        let (host, port) = (&self.host, self.port);
        match failure {
            Failure::NotConnected => {
                format!("{url}: no connection to {host} port {port} within {timeout:?}")
            }
            Failure::NotAnswered => format!("{url} has not answered within {timeout:?}"),
            Failure::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("{url}: connection refused, nothing listens on {host} port {port}")
            }
            Failure::Connect(error) => {
                format!("{url}: could not connect to {host} port {port}: {error}")
            }
            Failure::Http(error) => {
                format!("{url} gave no proper HTTP answer: {}", Chain(error))
            }
            Failure::Request(error) => format!("{url} cannot be asked for: {error}"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no connection in time")]
    NotConnected,
    #[error("no answer in time")]
    NotAnswered,
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no HTTP")]
    Http(#[from] hyper::Error),
    #[error("no request")]
    Request(#[source] hyper::http::Error),
}

/// An error with its causes on one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
