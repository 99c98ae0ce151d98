//! Records as others read them: Prometheus, collectors of logs, Consul. Pure.
//!
//! Each function takes records as [`Services::list`](crate::Services::list) gives them and keeps
//! their order, so that the same records always give the same text.

mod consul;
mod labels;
mod prometheus;
mod syslog;

use serde_json::{Value, json};

use crate::ServiceRecord;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Targets of Prometheus file discovery.
    Prometheus,
    /// Targets in the same shape for collectors of logs, with the metadata as labels.
    Syslog,
    /// Service definitions of a Consul agent.
    Consul,
    /// The records as they are.
    Json,
}

/// The records in a format, as text that ends with a line break.
#[must_use]
pub fn text(format: Format, records: &[ServiceRecord]) -> String {
    let value = match format {
        Format::Prometheus => prometheus::targets(records),
        Format::Syslog => syslog::targets(records),
        Format::Consul => consul::definitions(records),
        Format::Json => json!(records),
    };
    pretty(&value)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn without_records_every_format_is_an_empty_list() {
        for (format, expected) in [
            (Format::Prometheus, "[]\n"),
            (Format::Syslog, "[]\n"),
            (Format::Json, "[]\n"),
            (Format::Consul, "{\n  \"services\": []\n}\n"),
        ] {
            assert_eq!(text(format, &[]), expected);
        }
    }

    #[test]
    fn as_json_a_record_is_what_is_in_the_bucket() {
        let records = [record("http", "a"), record("http", "b")];
        let read: Vec<ServiceRecord> = serde_json::from_str(&text(Format::Json, &records)).unwrap();
        assert_eq!(read, records);
    }
}
