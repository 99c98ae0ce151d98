//! Connecting to NATS as the configuration says.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use jiff::Timestamp;

use crate::NatsSettings;
use crate::outages::Outages;
use crate::secret::{Login, login};

/// One server may take so long to answer.
const ONE_SERVER_WITHIN: Duration = Duration::from_secs(2);

/// The longest pause between two tries to reconnect: a server that is back is found within this,
/// and commits are shipped again within half a second.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(100);

/// How soon a connection that has gone silent is noticed.
const PING_EVERY: Duration = Duration::from_secs(2);

/// No connection to NATS.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers at the addresses.
    #[error("could not reach NATS at {servers}: check nats.servers and that the server runs")]
    Unreachable {
        /// The addresses tried.
        servers: String,
        /// The last failure.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server does not let us in.
    #[error(
        "NATS at {servers} refuses the credentials: check nats.credentials, user and password, \
         token or nkeySeed"
    )]
    Denied {
        /// The addresses tried.
        servers: String,
        /// The server's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The credentials file cannot be used.
    #[error("could not read the NATS credentials {path}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

impl ConnectError {
    /// Worth trying again without a change here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Denied { .. } => true,
            Self::Credentials { .. } => false,
        }
    }
}

/// Connects once, trying every server; later losses of the connection are repaired for ever.
///
/// # Errors
/// [`ConnectError`] when no server lets us in within `within`.
pub async fn connect(
    nats: &NatsSettings,
    name: &str,
    within: Duration,
) -> Result<Client, ConnectError> {
    connect_watched(nats, name, within, None).await
}

/// As [`connect`]; `outages` sees the connection come and go.
pub(crate) async fn connect_watched(
    nats: &NatsSettings,
    name: &str,
    within: Duration,
    outages: Option<Outages>,
) -> Result<Client, ConnectError> {
    let servers = nats.shown().join(", ");
    let options = options(nats, name).await?;
    let options = options.event_callback(move |event| {
        if let Some(outages) = &outages {
            note(&event, outages);
        }
        log(event)
    });
    let connecting = options.connect(nats.shown());
    match tokio::time::timeout(within, connecting).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => {
            let denied = matches!(
                error.kind(),
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
            );
            let source = Box::new(error);
            Err(if denied {
                ConnectError::Denied { servers, source }
            } else {
                ConnectError::Unreachable { servers, source }
            })
        }
        Err(elapsed) => Err(ConnectError::Unreachable { servers, source: elapsed.into() }),
    }
}

async fn options(nats: &NatsSettings, name: &str) -> Result<ConnectOptions, ConnectError> {
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(ONE_SERVER_WITHIN)
        .ping_interval(PING_EVERY)
        .reconnect_delay_callback(reconnect_pause);
    if let Some(path) = &nats.credentials {
        let refuse = |source| ConnectError::Credentials { path: path.clone(), source };
        options = options.credentials_file(path).await.map_err(refuse)?;
    }
    if let Some((user, password)) = &nats.user {
        options = options.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &nats.token {
        options = options.token(token.clone());
    }
    if nats.user.is_none() && nats.token.is_none() {
        options = match nats.servers.iter().find_map(|server| login(server)) {
            Some(Login::User(user, password)) => options.user_and_password(user, password),
            Some(Login::Token(token)) => options.token(token),
            None => options,
        };
    }
    if let Some(seed) = &nats.nkey_seed {
        options = options.nkey(seed.clone());
    }
    if let Some(ca) = &nats.tls_ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((cert, key)) = &nats.tls_client {
        options = options.add_client_certificate(cert.clone(), key.clone()).require_tls(true);
    }
    if nats.tls_first {
        options = options.tls_first();
    }
    Ok(options)
}

/// At once at first, then doubling.
fn reconnect_pause(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let exponent = u32::try_from(attempts.min(8)).unwrap_or(8);
    Duration::from_millis(10 << exponent).min(RECONNECT_PAUSE_MAX)
}

fn note(event: &Event, outages: &Outages) {
    match event {
        Event::Connected => outages.connected(Timestamp::now()),
        Event::Disconnected => outages.lost(Timestamp::now()),
        Event::ServerError(_)
        | Event::ClientError(_)
        | Event::LameDuckMode
        | Event::Draining
        | Event::Closed
        | Event::SlowConsumer(_) => {}
    }
}

async fn log(event: Event) {
    std::future::ready(()).await;
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        // It comes back by itself, and the lease says so when that takes long.
        Event::Disconnected => tracing::info!(
            "the connection to NATS is lost: the primary serves on while its lease is valid"
        ),
        Event::ServerError(error) => {
            tracing::warn!(%error, "NATS refuses something: check the permissions of this user")
        }
        Event::ClientError(error) => tracing::debug!(%error, "NATS client"),
        Event::LameDuckMode | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {
            tracing::debug!(%event, "NATS client");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_back_is_looked_for_at_once_and_then_often() {
        let pauses: Vec<u128> = (0..6).map(|n| reconnect_pause(n).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 40, 80, 100, 100]);
        assert_eq!(reconnect_pause(usize::MAX), RECONNECT_PAUSE_MAX);
    }
}
