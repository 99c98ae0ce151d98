//! Service definitions for a Consul agent.
//!
//! Source: <https://developer.hashicorp.com/consul/docs/reference/service>: a file with the key
//! `services`; at most 64 pairs of `meta`, whose keys have 128 characters of `[A-Za-z0-9_-]` and
//! whose values 512.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Health, Protocol, ServiceRecord};

/// Pairs that `meta` may have.
const META_MAX: usize = 64;
/// Characters that a key of `meta` may have.
const META_KEY_MAX: usize = 128;
/// Characters that a value of `meta` may have.
const META_VALUE_MAX: usize = 512;

/// One file of definitions.
pub(super) fn definitions(records: &[ServiceRecord]) -> Value {
    json!({ "services": records.iter().map(definition).collect::<Vec<_>>() })
}

fn definition(record: &ServiceRecord) -> Value {
    let id = format!("{}-{}-{}", record.app, record.name, record.node);
    json!({
        "id": id,
        "name": record.name,
        "address": record.address,
        "port": record.port,
        "tags": record.tags,
        "meta": meta(record),
        "checks": [check(record, &id)],
    })
}

/// The metadata, and what a definition has no place for.
fn meta(record: &ServiceRecord) -> BTreeMap<String, String> {
    let mut meta = BTreeMap::from([
        (String::from("app"), record.app.to_string()),
        (String::from("node"), record.node.to_string()),
        (String::from("protocol"), record.protocol.to_string()),
    ]);
    if let Some(path) = &record.path {
        meta.insert(String::from("path"), shortened(path, META_VALUE_MAX));
    }
    for (key, value) in &record.metadata {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let key: String = key.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        let key = shortened(&key, META_KEY_MAX);
        if key.is_empty() || meta.len() == META_MAX {
            continue;
        }
        meta.entry(key).or_insert_with(|| shortened(value, META_VALUE_MAX));
    }
    meta
}

fn shortened(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// What the agent checks by itself from then on; before the first answer it says what we know.
fn check(record: &ServiceRecord, id: &str) -> Value {
    let status = match record.health {
        Health::Passing => "passing",
        Health::Standby => "warning",
        Health::Critical => "critical",
    };
    let at = record.endpoint();
    let mut check = json!({ "id": format!("{id}-check"), "name": "ccm", "status": status });
    match (record.protocol, &record.health_path) {
        (Protocol::Http | Protocol::Ws, Some(path)) => {
            check["http"] = json!(format!("http://{at}{path}"));
        }
        (Protocol::Https | Protocol::Wss, Some(path)) => {
            check["http"] = json!(format!("https://{at}{path}"));
        }
        (Protocol::Udp, _) => check["udp"] = json!(at.to_string()),
        (
            Protocol::Tcp
            | Protocol::Http
            | Protocol::Https
            | Protocol::Grpc
            | Protocol::Ws
            | Protocol::Wss,
            _,
        ) => check["tcp"] = json!(at.to_string()),
    }
    check["interval"] = json!("10s");
    check["timeout"] = json!("3s");
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn the_http_of_the_seed_is_a_definition_with_a_check() {
        let one = ServiceRecord {
            path: Some(String::from("/")),
            health_path: Some(String::from("/health")),
            metadata: BTreeMap::from([(String::from("version"), String::from("1.0.0"))]),
            tags: vec![String::from("api"), String::from("public")],
            health: Health::Standby,
            ..record("http", "node-2")
        };
        let expected = json!({ "services": [{
            "id": "convex-prod-http-node-2",
            "name": "http",
            "address": "10.0.1.10",
            "port": 3210,
            "tags": ["api", "public"],
            "meta": {
                "app": "convex-prod",
                "node": "node-2",
                "path": "/",
                "protocol": "http",
                "version": "1.0.0",
            },
            "checks": [{
                "id": "convex-prod-http-node-2-check",
                "name": "ccm",
                "status": "warning",
                "http": "http://10.0.1.10:3210/health",
                "interval": "10s",
                "timeout": "3s",
            }],
        }] });
        assert_eq!(definitions(&[one]), expected);
    }

    #[test]
    fn every_protocol_is_checked_in_a_way_that_consul_knows() {
        for (protocol, health_path, way, at) in [
            (Protocol::Tcp, None, "tcp", "[fd00::7]:3210"),
            (Protocol::Udp, None, "udp", "[fd00::7]:3210"),
            (Protocol::Http, None, "tcp", "[fd00::7]:3210"),
            (Protocol::Https, Some("/h"), "http", "https://[fd00::7]:3210/h"),
            (Protocol::Grpc, Some("/h"), "tcp", "[fd00::7]:3210"),
        ] {
            let one = ServiceRecord {
                address: "fd00::7".parse().unwrap(),
                protocol,
                health_path: health_path.map(String::from),
                ..record("x", "n")
            };
            assert_eq!(definitions(&[one])["services"][0]["checks"][0][way], at, "{protocol}");
        }
    }

    #[test]
    fn metadata_that_consul_would_refuse_is_made_to_fit() {
        let many = (0..100).map(|n| (format!("key.{n:03}"), "v".repeat(600)));
        let one = ServiceRecord {
            metadata: many.chain([("k".repeat(200), String::new())]).collect(),
            ..record("x", "n")
        };
        let meta = meta(&one);
        assert_eq!(meta.len(), META_MAX);
        assert_eq!(meta["key_000"].len(), META_VALUE_MAX);
        let fits = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(meta.keys().all(|key| fits(key)), "{meta:?}");
    }
}
