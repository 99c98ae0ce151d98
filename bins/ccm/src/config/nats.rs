//! `nats`: where the servers are and how they let us in.

use std::str::FromStr as _;

use async_nats::ServerAddr;
use ccm_agent::{NatsSettings, without_secret};

use super::json::Problem;
use super::section::Section;

/// Replicas that a JetStream stream may have.
const REPLICAS_MAX: u64 = 5;

pub(super) fn read(nats: &Section<'_>) -> Result<NatsSettings, Problem> {
    nats.allow(&[
        "servers",
        "credentials",
        "user",
        "password",
        "token",
        "nkeySeed",
        "tls",
        "replicas",
    ])?;
    let tls = nats.section("tls")?;
    tls.allow(&["ca", "cert", "key", "first"])?;
    let replicas = nats.number("replicas", (1, REPLICAS_MAX))?;
    Ok(NatsSettings {
        servers: servers(nats)?,
        credentials: nats.path("credentials")?,
        user: pair(nats, "user", "password", |key| nats.text(key))?
            .map(|(user, password)| (String::from(user), String::from(password))),
        token: nats.text("token")?.map(String::from),
        nkey_seed: nats.text("nkeySeed")?.map(String::from),
        tls_ca: tls.path("ca")?,
        tls_client: pair(&tls, "cert", "key", |key| tls.path(key))?,
        tls_first: tls.flag("first", false)?,
        replicas: replicas.and_then(|n| usize::try_from(n).ok()),
    })
}

fn servers(nats: &Section<'_>) -> Result<Vec<String>, Problem> {
    let hint = ": one or more of nats://host:4222";
    let servers = nats.texts("servers")?.ok_or_else(|| nats.missing("servers", hint))?;
    if servers.is_empty() {
        return Err(nats.wrong("servers", &format!("may not be empty{hint}")));
    }
    for (index, server) in servers.iter().enumerate() {
        let usable = ServerAddr::from_str(server)
            .is_ok_and(|a| matches!(a.scheme(), "nats" | "tls") && !a.host().is_empty());
        if !usable {
            let shown = without_secret(server);
            let what = format!(
                "is {shown:?}: write nats://host:4222, or tls://host:4222 to demand encryption"
            );
            return Err(nats.wrong_at("servers", index, &what));
        }
    }
    Ok(servers.into_iter().map(String::from).collect())
}

/// Two keys that are only used together.
fn pair<T>(
    section: &Section<'_>,
    one: &str,
    other: &str,
    read: impl Fn(&str) -> Result<Option<T>, Problem>,
) -> Result<Option<(T, T)>, Problem> {
    match (read(one)?, read(other)?) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(section.missing(other, &format!(" where {one} is given"))),
        (None, Some(_)) => Err(section.missing(one, &format!(" where {other} is given"))),
    }
}
