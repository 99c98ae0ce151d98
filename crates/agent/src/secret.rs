//! Nothing that lets somebody in is shown.

use std::fmt;

use crate::NatsSettings;

/// Stands for what is not shown.
const HIDDEN: &str = "(hidden)";

/// A server's URL without the user, password or token that it may contain.
///
/// ```
/// assert_eq!(ccm_agent::without_secret("nats://user:pass@host:4222"), "nats://host:4222");
/// ```
#[must_use]
pub fn without_secret(server: &str) -> String {
    let (scheme, rest) = server.split_once("://").map_or(("", server), |(s, r)| (s, r));
    let Some((_, host)) = rest.rsplit_once('@') else { return String::from(server) };
    if scheme.is_empty() { String::from(host) } else { format!("{scheme}://{host}") }
}

/// What a server's URL lets somebody in with.
#[derive(PartialEq, Eq)]
pub(crate) enum Login {
    /// `nats://user:password@host`
    User(String, String),
    /// `nats://token@host`
    Token(String),
}

/// What this URL lets somebody in with.
pub(crate) fn login(server: &str) -> Option<Login> {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let (login, _) = rest.rsplit_once('@')?;
    Some(match login.split_once(':') {
        Some((user, password)) => Login::User(decoded(user), decoded(password)),
        None => Login::Token(decoded(login)),
    })
}

/// Without the percent-encoding of a URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let byte = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            (_, _, _) => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl NatsSettings {
    /// The servers, to be shown, and to be connected to: a library that is given less cannot log
    /// more.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        self.servers.iter().map(|server| without_secret(server)).collect()
    }
}

impl fmt::Debug for NatsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |is_there: bool| is_there.then_some(HIDDEN);
        let Self {
            servers: _,
            credentials,
            user,
            token,
            nkey_seed,
            tls_ca,
            tls_client,
            tls_first,
            replicas,
        } = self;
        f.debug_struct("NatsSettings")
            .field("servers", &self.shown())
            .field("credentials", credentials)
            .field("user", &hidden(user.is_some()))
            .field("token", &hidden(token.is_some()))
            .field("nkey_seed", &hidden(nkey_seed.is_some()))
            .field("tls_ca", tls_ca)
            .field("tls_client", tls_client)
            .field("tls_first", tls_first)
            .field("replicas", replicas)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_somebody_in_is_not_shown() {
        let text = |text: &str| String::from(text);
        let nats = NatsSettings {
            servers: vec![text("nats://u:s3cret@h:4222"), text("tls://s3cret@h"), text("s3cret@h")],
            user: Some((text("u"), text("s3cret"))),
            token: Some(text("s3cret")),
            nkey_seed: Some(text("SUs3cret")),
            ..NatsSettings::default()
        };
        let shown = format!("{nats:?} {nats:#?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("nats://h:4222"), "{shown}");
        assert_eq!(nats.shown(), ["nats://h:4222", "tls://h", "h"]);
        assert_eq!(without_secret("nats://u:p@ss@h:4222"), "nats://h:4222");
    }

    #[test]
    fn a_url_lets_in_with_a_user_or_a_token() {
        let user = |user: &str, password: &str| Login::User(user.into(), password.into());
        assert!(login("nats://h:4222").is_none());
        assert!(login("nats://u:p@h:4222") == Some(user("u", "p")));
        assert!(login("u:p%40s%3As%2@h") == Some(user("u", "p@s:s%2")));
        assert!(login("tls://t0ken@h") == Some(Login::Token("t0ken".into())));
    }
}
