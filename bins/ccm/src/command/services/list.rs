//! `ccm services list`

use ccm_discovery::{Filter, ServiceRecord};
use serde_json::json;

use super::shown;
use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit};
use crate::print;

/// The columns and how wide they are at least.
const COLUMNS: [(&str, usize); 7] = [
    ("SERVICE", 10),
    ("NODE", 9),
    ("ADDRESS", 15),
    ("PORT", 7),
    ("PROTOCOL", 10),
    ("HEALTH", 9),
    ("TAGS", 0),
];

pub(super) async fn run(shared: &Shared, filter: &Filter) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let listed = super::records(&cluster).list(filter).await.map_err(super::failure)?;
    if shared.json {
        print::json(&json!({ "services": listed.records, "ignored": listed.garbage }))?;
        return Ok(Exit::Done);
    }
    super::name_garbage(&listed, &cluster.settings.cluster.services_bucket());
    print::text(&text(&listed.records))?;
    Ok(Exit::Done)
}

fn text(records: &[ServiceRecord]) -> String {
    let cells = |record: &ServiceRecord| {
        [
            record.name.to_string(),
            record.node.to_string(),
            record.address.to_string(),
            record.port.to_string(),
            record.protocol.to_string(),
            record.health.to_string(),
            shown(&record.tags.join(",")),
        ]
    };
    let rows: Vec<[String; 7]> = records.iter().map(cells).collect();
    let header = COLUMNS.map(|(name, _)| String::from(name));
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].chars().count() + 2).max();
        longest.unwrap_or(0).max(COLUMNS[column].1)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths);
        let padded: String = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.trim_end())
    };
    std::iter::once(&header).chain(&rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(
        name: &str,
        node: (&str, &str),
        port: u16,
        says: (&str, &str, &[&str]),
    ) -> ServiceRecord {
        let (protocol, health, tags) = says;
        let record = json!({
            "app": "convex-prod", "name": name, "node": node.0, "address": node.1, "port": port,
            "protocol": protocol, "health": health, "tags": tags, "registeredAt": "",
            "updatedAt": "",
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn the_seed_list_is_printed_to_the_character() {
        let (one, two) = (("node-1", "10.0.1.10"), ("node-2", "10.0.1.11"));
        let (public, metrics) = (["api", "public"], ["monitoring", "prometheus"]);
        let logs = ["logging", "syslog"];
        let records = [
            record("http", one, 3210, ("http", "passing", &public)),
            record("http", two, 3210, ("http", "standby", &public)),
            record("metrics", one, 9090, ("http", "passing", &metrics)),
            record("metrics", two, 9090, ("http", "passing", &metrics)),
            record("syslog", one, 1514, ("tcp", "passing", &logs)),
            record("syslog", two, 1514, ("tcp", "passing", &logs)),
        ];
        let expected = "\
SERVICE   NODE     ADDRESS        PORT   PROTOCOL  HEALTH   TAGS
http      node-1   10.0.1.10      3210   http      passing  api,public
http      node-2   10.0.1.11      3210   http      standby  api,public
metrics   node-1   10.0.1.10      9090   http      passing  monitoring,prometheus
metrics   node-2   10.0.1.11      9090   http      passing  monitoring,prometheus
syslog    node-1   10.0.1.10      1514   tcp       passing  logging,syslog
syslog    node-2   10.0.1.11      1514   tcp       passing  logging,syslog
";
        assert_eq!(text(&records), expected);
    }

    #[test]
    fn longer_cells_make_room_and_no_service_is_a_header() {
        let long = ("db1.example.com", "fd00::1234:5678:9abc:def0");
        let records = [record("http", long, 1, ("http", "critical", &["a\u{1b}[2Jb"]))];
        let expected = "\
SERVICE   NODE             ADDRESS                    PORT   PROTOCOL  HEALTH    TAGS
http      db1.example.com  fd00::1234:5678:9abc:def0  1      http      critical  a\u{fffd}[2Jb
";
        assert_eq!(text(&records), expected);
        assert_eq!(text(&[]), "SERVICE   NODE     ADDRESS        PORT   PROTOCOL  HEALTH   TAGS\n");
    }
}
