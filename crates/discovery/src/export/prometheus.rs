//! Targets for `file_sd_configs` of Prometheus.
//!
//! Source: `file_sd_config` and `scrape_config` in
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/>.

use std::collections::BTreeMap;

use serde_json::Value;

use super::labels;
use crate::{Protocol, ServiceRecord};

/// The default of `scrape_timeout`. Prometheus drops a target whose interval is shorter than its
/// timeout, so a shorter interval brings its own timeout.
const SCRAPE_TIMEOUT_MS: u64 = 10_000;

/// One group for every record that Prometheus can scrape: `http` and `https`.
pub(super) fn targets(records: &[ServiceRecord]) -> Value {
    records.iter().filter_map(target).collect()
}

fn target(record: &ServiceRecord) -> Option<Value> {
    let scheme = match record.protocol {
        Protocol::Http => None,
        Protocol::Https => Some("https"),
        Protocol::Tcp | Protocol::Udp | Protocol::Grpc | Protocol::Ws | Protocol::Wss => {
            return None;
        }
    };
    let mut labels = BTreeMap::from([
        (String::from("app"), record.app.to_string()),
        (String::from("service"), record.name.to_string()),
        (String::from("node"), record.node.to_string()),
        (String::from("__meta_ccm_health"), record.health.to_string()),
        (String::from("__meta_ccm_tags"), format!(",{},", record.tags.join(","))),
    ]);
    let mut put = |name: &str, value: &str| labels.insert(String::from(name), String::from(value));
    if let Some(scheme) = scheme {
        put("__scheme__", scheme);
    }
    if let Some(path) = &record.path {
        put("__metrics_path__", path);
    }
    if let Some(job) = record.metadata.get("job") {
        put("job", job);
    }
    for (name, value) in interval(&record.metadata) {
        put(name, value);
    }
    for (key, value) in &record.metadata {
        let name = format!("__meta_ccm_metadata_{}", labels::part(key));
        labels.entry(name).or_insert_with(|| value.clone());
    }
    Some(labels::group(&record.endpoint().to_string(), &labels))
}

/// How often it is to be scraped, when the metadata says so in Prometheus' words.
fn interval(metadata: &BTreeMap<String, String>) -> Vec<(&'static str, &str)> {
    let known = |key: &str| {
        let text = metadata.get(key)?;
        millis(text).filter(|&ms| ms > 0).map(|ms| (ms, text.as_str()))
    };
    let Some((interval_ms, interval)) = known("scrape_interval") else { return Vec::new() };
    let timeout = known("scrape_timeout").filter(|&(ms, _)| ms <= interval_ms);
    let usual = (interval_ms < SCRAPE_TIMEOUT_MS).then_some((interval_ms, interval));
    let mut labels = vec![("__scrape_interval__", interval)];
    labels.extend(timeout.or(usual).map(|(_, text)| ("__scrape_timeout__", text)));
    labels
}

/// A duration as Prometheus writes it: units from large to small, each at most once.
fn millis(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut total: u64 = 0;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits)?;
        let word = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (word, after) = after.split_at_checked(word)?;
        let (_, unit) = units.find(|(name, _)| *name == word)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::tests::record;

    fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(key, value)| (String::from(key), String::from(value))).collect()
    }

    #[test]
    fn the_metrics_of_the_seed_are_targets_with_their_labels() {
        let one = ServiceRecord {
            port: 9090,
            path: Some(String::from("/metrics")),
            metadata: metadata(&[
                ("format", "prometheus"),
                ("scrape_interval", "15s"),
                ("job", "convex-backend"),
            ]),
            tags: vec![String::from("monitoring"), String::from("prometheus")],
            ..record("metrics", "node-1")
        };
        let expected = json!([{
            "targets": ["10.0.1.10:9090"],
            "labels": {
                "__meta_ccm_health": "passing",
                "__meta_ccm_metadata_format": "prometheus",
                "__meta_ccm_metadata_job": "convex-backend",
                "__meta_ccm_metadata_scrape_interval": "15s",
                "__meta_ccm_tags": ",monitoring,prometheus,",
                "__metrics_path__": "/metrics",
                "__scrape_interval__": "15s",
                "app": "convex-prod",
                "job": "convex-backend",
                "node": "node-1",
                "service": "metrics",
            },
        }]);
        assert_eq!(targets(&[one]), expected);
    }

    #[test]
    fn addresses_and_schemes_are_written_as_prometheus_wants_them() {
        let six = ServiceRecord {
            address: "fd00::7".parse().unwrap(),
            protocol: Protocol::Https,
            ..record("metrics", "n")
        };
        let written = targets(&[six]);
        assert_eq!(written[0]["targets"], json!(["[fd00::7]:3210"]));
        assert_eq!(written[0]["labels"]["__scheme__"], "https");
        for protocol in Protocol::ALL {
            let scraped = targets(&[ServiceRecord { protocol, ..record("x", "n") }]);
            let expected = usize::from(matches!(protocol, Protocol::Http | Protocol::Https));
            assert_eq!(scraped.as_array().unwrap().len(), expected, "{protocol}");
        }
    }

    #[test]
    fn an_interval_that_prometheus_would_refuse_is_left_out() {
        type Labels<'a> = &'a [(&'static str, &'a str)];
        let table: [(&[(&str, &str)], Labels<'_>); 8] = [
            (&[("scrape_interval", "1m30s")], &[("__scrape_interval__", "1m30s")]),
            (
                &[("scrape_interval", "5s")],
                &[("__scrape_interval__", "5s"), ("__scrape_timeout__", "5s")],
            ),
            (
                &[("scrape_interval", "15s"), ("scrape_timeout", "12s")],
                &[("__scrape_interval__", "15s"), ("__scrape_timeout__", "12s")],
            ),
            (
                &[("scrape_interval", "15s"), ("scrape_timeout", "20s")],
                &[("__scrape_interval__", "15s")],
            ),
            (&[("scrape_interval", "soon")], &[]),
            (&[("scrape_interval", "1s1m")], &[]),
            (&[("scrape_interval", "0s")], &[]),
            (&[("scrape_interval", "15")], &[]),
        ];
        for (given, expected) in table {
            assert_eq!(interval(&metadata(given)), expected, "{given:?}");
        }
    }
}
