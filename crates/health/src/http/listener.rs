//! An address that is taken, and the connections that come in there.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::{Body, Reply};
use super::route::{Asked, answer};
use super::{Answer, Holder, Node, Offer, who_listens};

/// Connections that are answered at a time; others wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may take to say what it wants, and keep a connection without asking.
const HEAD_WITHIN: Duration = Duration::from_secs(20);

/// How long an answer may take to be made; a load balancer does not wait longer either.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long one connection may last: a client that does not read is not kept for ever.
const CONNECTION_MAX: Duration = Duration::from_secs(600);

/// After a failure of the system to accept, such as a lack of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// The longest head of a request, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// Why nothing can listen at an address.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something else does.
    #[error("{address} is in use{}", by(.holder.as_ref()))]
    InUse {
        /// The address.
        address: SocketAddr,
        /// Who has it, when the system tells.
        holder: Option<Holder>,
    },
    /// Ports below 1024 need `CAP_NET_BIND_SERVICE`.
    #[error("this user may not listen at {address}: take a port above 1023")]
    Denied {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Something else is wrong, such as an address that this host does not have.
    #[error("could not listen at {address}")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// An address that is listened at.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens at `address`; port 0 picks one.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let listening = TcpListener::bind(address).await;
        let listening = listening.and_then(|listener| Ok((listener.local_addr()?, listener)));
        match listening {
            Ok((address, listener)) => Ok(Self { listener, address }),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                Err(ListenError::InUse { address, holder: who_listens(address.port()) })
            }
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(ListenError::Denied { address, source })
            }
            Err(source) => Err(ListenError::Failed { address, source }),
        }
    }

    /// Where it listens: the port that was picked when none was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for ever; dropped, it ends every connection. A connection that fails, or an answer
    /// that panics, ends by itself.
    pub async fn serve<N: Node>(self, node: Arc<N>, offer: Offer) {
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
            }
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&node), offer));
                }
                Err(error) => {
                    tracing::debug!(%error, address = %self.address, "no connection was accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

/// One connection to its end.
async fn converse<N: Node>(stream: TcpStream, node: Arc<N>, offer: Offer) {
    let service = service_fn(move |request| respond(Arc::clone(&node), offer, request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_MAX);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_MAX, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::trace!(%error, "a connection has ended"),
    }
}

async fn respond<N: Node>(
    node: Arc<N>,
    offer: Offer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept = accept.collect::<Vec<_>>().join(",");
    let uri = request.uri();
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let asked = Asked { method: request.method(), path, query, accept: &accept };
    let late = || {
        let words = format!("not measured within {} s", ANSWER_WITHIN.as_secs());
        Reply::Whole(Answer::words(StatusCode::SERVICE_UNAVAILABLE, &words))
    };
    let answered = timeout(ANSWER_WITHIN, answer(&*node, offer, asked)).await;
    Ok(answered.unwrap_or_else(|_| late()).into_response())
}
