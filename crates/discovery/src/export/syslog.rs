//! Targets for collectors of logs, in the shape of Prometheus' file discovery.

use std::collections::BTreeMap;

use serde_json::Value;

use super::labels;
use crate::{Protocol, ServiceRecord};

/// One group for every record that is an endpoint of syslog: `tcp` and `udp`.
///
/// The metadata are labels of their own; a key that is the name of another label is written
/// with `metadata_` before it.
pub(super) fn targets(records: &[ServiceRecord]) -> Value {
    records.iter().filter_map(target).collect()
}

fn target(record: &ServiceRecord) -> Option<Value> {
    match record.protocol {
        Protocol::Tcp | Protocol::Udp => {}
        Protocol::Http | Protocol::Https | Protocol::Grpc | Protocol::Ws | Protocol::Wss => {
            return None;
        }
    }
    let mut labels = BTreeMap::from(
        [
            ("app", record.app.to_string()),
            ("service", record.name.to_string()),
            ("node", record.node.to_string()),
            ("protocol", record.protocol.to_string()),
            ("health", record.health.to_string()),
            ("tags", record.tags.join(",")),
        ]
        .map(|(name, value)| (String::from(name), value)),
    );
    for (key, value) in &record.metadata {
        let mut name = labels::name(key);
        if labels.contains_key(&name) {
            name = format!("metadata_{name}");
        }
        labels.entry(name).or_insert_with(|| value.clone());
    }
    Some(labels::group(&record.endpoint().to_string(), &labels))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::tests::record;

    #[test]
    fn the_syslog_of_the_seed_is_a_target_with_its_metadata_as_labels() {
        let pairs = [
            ("format", "rfc5424"),
            ("facility", "local0"),
            ("app_name", "convex"),
            ("node", "elsewhere"),
            ("__address__", "192.0.2.1:1"),
        ];
        let one = ServiceRecord {
            port: 1514,
            protocol: Protocol::Tcp,
            metadata: pairs.map(|(key, value)| (String::from(key), String::from(value))).into(),
            tags: vec![String::from("logging"), String::from("syslog")],
            ..record("syslog", "node-1")
        };
        let expected = json!([{
            "targets": ["10.0.1.10:1514"],
            "labels": {
                "address__": "192.0.2.1:1",
                "app": "convex-prod",
                "app_name": "convex",
                "facility": "local0",
                "format": "rfc5424",
                "health": "passing",
                "metadata_node": "elsewhere",
                "node": "node-1",
                "protocol": "tcp",
                "service": "syslog",
                "tags": "logging,syslog",
            },
        }]);
        assert_eq!(targets(&[one.clone(), record("http", "node-1")]), expected);
    }
}
