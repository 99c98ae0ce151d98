//! `services`: what this node announces, and how it is probed.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use ccm_discovery::{ProbeConfig, ProbeKind, Protocol, Service};
use ccm_types::ServiceName;

use super::json::Problem;
use super::section::Section;

/// The name of the service that follows the role whatever its other keys say.
const HTTP: &str = "http";
/// Answers in a row that may be asked for.
const ROW_MAX: u64 = 100;

pub(super) fn read(services: &Section<'_>) -> Result<Vec<Service>, Problem> {
    services.keys().map(|name| service(name, &services.section(name)?)).collect()
}

fn service(name: &str, service: &Section<'_>) -> Result<Service, Problem> {
    let refused = |_| service.wrong_here("use letters, digits, '-' and '_' in its name");
    let name = ServiceName::new(name).map_err(refused)?;
    service.allow(&[
        "port",
        "protocol",
        "path",
        "healthPath",
        "metadata",
        "tags",
        "followsRole",
        "healthCheck",
    ])?;
    let port = service.number("port", (1, u64::from(u16::MAX)))?;
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| service.missing("port", ""))?;
    let protocol = service.parsed("protocol", str::parse)?.unwrap_or(Protocol::Tcp);
    let health_path = path(service, "healthPath")?;
    let mut metadata = BTreeMap::new();
    let section = service.section("metadata")?;
    for key in section.keys() {
        let value = section.text(key)?.unwrap_or_default();
        metadata.insert(String::from(key), String::from(value));
    }
    let tags = service.texts("tags")?.unwrap_or_default();
    let is_backends = protocol.is_web() && (name.as_str() == HTTP || health_path.is_some());
    let follows_role = service.flag("followsRole", is_backends)?;
    let check = service.section("healthCheck")?;
    if protocol == Protocol::Udp && (check.is_there() || health_path.is_some()) {
        let what = "is \"udp\", which cannot be probed: leave out healthPath and healthCheck";
        return Err(service.wrong("protocol", what));
    }
    let probe = probe(&check, protocol, health_path.as_deref())?;
    Ok(Service {
        name,
        address: None,
        port,
        protocol,
        path: path(service, "path")?,
        health_path,
        metadata,
        tags: tags.into_iter().map(String::from).collect(),
        follows_role,
        probe,
    })
}

fn path(service: &Section<'_>, key: &str) -> Result<Option<String>, Problem> {
    service.parsed(key, |text| {
        let usable = |c: char| c.is_ascii_graphic();
        match text {
            _ if !text.starts_with('/') => Err("it must begin with /"),
            _ if !text.chars().all(usable) => Err("use ASCII without spaces, and %20 for a space"),
            _ => Ok(String::from(text)),
        }
    })
}

/// How it is probed: over HTTP when there is a `healthPath`, by a connection when there is a
/// `healthCheck`, else not at all.
fn probe(
    check: &Section<'_>,
    protocol: Protocol,
    health_path: Option<&str>,
) -> Result<Option<ProbeConfig>, Problem> {
    check.allow(&["kind", "intervalMs", "timeoutMs", "status", "body", "failures", "successes"])?;
    if !check.is_there() && health_path.is_none() {
        return Ok(None);
    }
    let Some(kind) = kind(check, protocol, health_path)? else { return Ok(None) };
    let usual = ProbeConfig::new(kind);
    let millis = |key, usual: std::time::Duration| {
        check.millis(key, 100, u64::try_from(usual.as_millis()).unwrap_or(u64::MAX))
    };
    let row = |key, usual| {
        let given = check.number(key, (1, ROW_MAX))?;
        let given = given.and_then(|n| u32::try_from(n).ok()).and_then(NonZeroU32::new);
        Ok::<_, Problem>(given.unwrap_or(usual))
    };
    let probe = ProbeConfig {
        interval: millis("intervalMs", usual.interval)?,
        timeout: millis("timeoutMs", usual.timeout)?,
        failures: row("failures", usual.failures)?,
        successes: row("successes", usual.successes)?,
        kind: usual.kind,
    };
    if probe.timeout > probe.interval {
        let what = format!(
            "is {}: it may not be longer than intervalMs ({})",
            probe.timeout.as_millis(),
            probe.interval.as_millis()
        );
        return Err(check.wrong("timeoutMs", &what));
    }
    Ok(Some(probe))
}

/// What is asked; a probe speaks no TLS and no gRPC, so there it asks for a connection.
fn kind(
    check: &Section<'_>,
    protocol: Protocol,
    health_path: Option<&str>,
) -> Result<Option<ProbeKind>, Problem> {
    let speaks = match protocol {
        Protocol::Http | Protocol::Ws => true,
        Protocol::Https | Protocol::Wss | Protocol::Grpc | Protocol::Tcp | Protocol::Udp => false,
    };
    let status = check.number("status", (100, 599))?.and_then(|status| u16::try_from(status).ok());
    let body = check.text("body")?.map(String::from);
    let asks = status.is_some() || body.is_some();
    match (check.text("kind")?, health_path) {
        (None | Some("http"), Some(path)) if speaks => {
            Ok(Some(ProbeKind::Http { path: String::from(path), status, body }))
        }
        (Some("http"), None) => {
            Err(check.wrong("kind", "is \"http\": it needs healthPath, what is to be asked for"))
        }
        (Some("http"), Some(_)) => Err(check.wrong(
            "kind",
            &format!("is \"http\": a probe does not speak {protocol}, use \"tcp\""),
        )),
        (None | Some("tcp"), _) if asks => {
            let key = if status.is_some() { "status" } else { "body" };
            Err(check.wrong(key, "is only used where http is asked"))
        }
        (None | Some("tcp"), _) => Ok(Some(ProbeKind::Tcp)),
        (Some("off"), _) => Ok(None),
        (Some(_), _) => Err(check.wrong("kind", "must be \"http\", \"tcp\" or \"off\"")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn parse(services: &str) -> Result<Vec<Service>, String> {
        let text = format!(
            "{{ \"clusterId\": \"c\", \"nodeId\": \"n\", \
             \"nats\": {{ \"servers\": [\"nats://h:4222\"] }},\n\"services\": {services} }}"
        );
        let parsed = Config::parse(&text, Path::new("/c.json"));
        parsed.map(|config| config.settings().services).map_err(|error| error.to_string())
    }

    #[test]
    fn the_services_of_the_sample_are_announced_as_the_seed_says() {
        let sample = include_str!("../../../../deploy/cluster.json");
        let services = Config::parse(sample, Path::new("/c.json")).unwrap().settings().services;
        let [http, metrics, syslog] = &services[..] else { panic!("{services:?}") };
        assert_eq!((http.name.as_str(), http.port, http.protocol), ("http", 3210, Protocol::Http));
        assert_eq!(
            (http.path.as_deref(), http.health_path.as_deref()),
            (Some("/"), Some("/health"))
        );
        assert_eq!(
            (http.metadata["docs"].as_str(), http.tags.join(",")),
            ("/api/docs", String::from("api,public"))
        );
        let kind = ProbeKind::Http { path: String::from("/health"), status: None, body: None };
        assert_eq!(http.probe, Some(ProbeConfig::new(kind)));
        let follow = services.iter().map(|service| service.follows_role).collect::<Vec<_>>();
        assert_eq!(follow, [true, false, false]);
        assert_eq!((metrics.probe.as_ref(), syslog.probe.as_ref()), (None, None));
        assert_eq!((syslog.name.as_str(), syslog.protocol), ("syslog", Protocol::Tcp));
    }

    #[test]
    fn who_follows_the_role_can_be_said_and_how_it_is_probed() {
        let services = parse(
            r#"{ "http": { "port": 1, "protocol": "http" },
                "api": { "port": 2, "protocol": "http", "healthPath": "/h", "followsRole": false,
                  "healthCheck": { "intervalMs": 2000, "timeoutMs": 500, "status": 204,
                    "body": "ok", "failures": 5, "successes": 1 } },
                "tls": { "port": 3, "protocol": "https", "healthPath": "/h" },
                "db": { "port": 4, "healthCheck": {} },
                "quiet": { "port": 5, "protocol": "http", "healthPath": "/h",
                  "healthCheck": { "kind": "off" } } }"#,
        );
        let services = services.unwrap();
        let follow = services.iter().map(|service| service.follows_role).collect::<Vec<_>>();
        assert_eq!(follow, [true, false, true, false, true]);
        let probes: Vec<_> = services.iter().map(|service| service.probe.clone()).collect();
        let tcp = Some(ProbeConfig::new(ProbeKind::Tcp));
        let http = Some(ProbeConfig {
            kind: ProbeKind::Http {
                path: String::from("/h"),
                status: Some(204),
                body: Some(String::from("ok")),
            },
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(500),
            failures: NonZeroU32::new(5).unwrap(),
            successes: NonZeroU32::MIN,
        });
        assert_eq!(probes, [None, http, tcp.clone(), tcp, None]);
    }

    #[test]
    fn what_cannot_be_announced_or_probed_is_refused_with_its_place() {
        let table = [
            (r#"{ "a": { "port": 0 } }"#, "services.a.port is 0: it must be"),
            (
                r#"{ "a": { "port": 1, "protocol": "ftp" } }"#,
                "services.a.protocol is \"ftp\": use one of tcp, udp, http, https, grpc, ws, wss",
            ),
            (
                r#"{ "a": { "port": 1, "path": "/a b" } }"#,
                "services.a.path is \"/a b\": use ASCII without spaces",
            ),
            (
                r#"{ "a": { "port": 1, "metadata": { "n": 1 } } }"#,
                "services.a.metadata.n must be a string",
            ),
            (
                r#"{ "a": { "port": 1, "protocol": "udp", "healthPath": "/" } }"#,
                "services.a.protocol is \"udp\", which cannot be probed",
            ),
            (
                r#"{ "a": { "port": 1, "healthCheck": { "kind": "http" } } }"#,
                "services.a.healthCheck.kind is \"http\": it needs healthPath",
            ),
            (
                r#"{ "a": { "port": 1, "protocol": "https", "healthPath": "/",
                    "healthCheck": { "kind": "http" } } }"#,
                "a probe does not speak https, use \"tcp\"",
            ),
            (
                r#"{ "a": { "port": 1, "healthCheck": { "status": 200 } } }"#,
                "services.a.healthCheck.status is only used where http is asked",
            ),
            (
                r#"{ "a": { "port": 1, "healthCheck": { "kind": "exec" } } }"#,
                "services.a.healthCheck.kind must be \"http\", \"tcp\" or \"off\"",
            ),
            (
                r#"{ "a": { "port": 1, "healthCheck": { "intervalMs": 1000 } } }"#,
                "services.a.healthCheck.timeoutMs is 3000: it may not be longer than intervalMs",
            ),
            (
                r#"{ "a": { "port": 1, "healtCheck": {} } }"#,
                "unknown key services.a.healtCheck: did you mean healthCheck?",
            ),
        ];
        for (services, expected) in table {
            let error = parse(services).unwrap_err();
            assert!(error.contains(expected) && error.contains("/c.json: line"), "{error}");
        }
    }
}
