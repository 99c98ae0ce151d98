//! `ccm services show`

use ccm_discovery::{Filter, ServiceRecord};
use ccm_types::ServiceName;
use serde_json::json;

use super::shown;
use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit, Failure};
use crate::{print, words};

pub(super) async fn run(shared: &Shared, name: &ServiceName) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let listed = super::records(&cluster).list(&Filter::default()).await.map_err(super::failure)?;
    super::name_garbage(&listed, &cluster.settings.cluster.services_bucket());
    let (records, others): (Vec<ServiceRecord>, Vec<ServiceRecord>) =
        listed.records.into_iter().partition(|record| record.name == *name);
    if records.is_empty() {
        return Err(unknown(name, &others));
    }
    if shared.json {
        print::json(&json!({ "name": name, "instances": records }))?;
    } else {
        print::text(&text(name, &records))?;
    }
    Ok(Exit::Done)
}

fn unknown(name: &ServiceName, others: &[ServiceRecord]) -> Failure {
    let mut known: Vec<&str> = others.iter().map(|record| record.name.as_str()).collect();
    known.dedup();
    let known = match known.as_slice() {
        [] => {
            String::from("no service is registered at all; is a daemon running? see `ccm status`")
        }
        known => format!("there are {}", known.join(", ")),
    };
    Failure::usage(format!("no service {name} is registered: {known}"))
}

fn text(name: &ServiceName, records: &[ServiceRecord]) -> String {
    let mut text = format!("Service:   {name}\nInstances: {}\n", records.len());
    for record in records {
        text.push_str(&format!("\n{}\n", record.node));
        let mut line = |key: &str, value: &str| {
            text.push_str(&format!("  {:<12}{}\n", format!("{key}:"), shown(value)));
        };
        line("Address", &record.endpoint().to_string());
        line("Protocol", record.protocol.as_str());
        if let Some(path) = &record.path {
            line("Path", path);
        }
        if let Some(path) = &record.health_path {
            line("Probed", path);
        }
        line("Health", record.health.as_str());
        if !record.tags.is_empty() {
            line("Tags", &record.tags.join(","));
        }
        line("Registered", &words::since(&record.registered_at));
        line("Refreshed", &words::since(&record.updated_at));
        for (key, value) in &record.metadata {
            text.push_str(&format!("  Metadata:   {}\n", shown(&format!("{key}={value}"))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_known_is_shown_node_by_node() {
        let full = json!({
            "app": "c", "name": "http", "node": "node-1", "address": "fd00::7", "port": 3210,
            "protocol": "http", "path": "/", "healthPath": "/health", "health": "passing",
            "tags": ["api", "public"], "metadata": { "docs": "/api/docs", "version": "1.0.0" },
            "registeredAt": "whenever", "updatedAt": "lately",
        });
        let least = json!({
            "app": "c", "name": "http", "node": "node-2", "address": "10.0.1.11", "port": 1,
            "protocol": "tcp", "health": "standby", "registeredAt": "w", "updatedAt": "l",
        });
        let records = [full, least].map(|record| serde_json::from_value(record).unwrap());
        let expected = "\
Service:   http
Instances: 2

node-1
  Address:    [fd00::7]:3210
  Protocol:   http
  Path:       /
  Probed:     /health
  Health:     passing
  Tags:       api,public
  Registered: whenever
  Refreshed:  lately
  Metadata:   docs=/api/docs
  Metadata:   version=1.0.0

node-2
  Address:    10.0.1.11:1
  Protocol:   tcp
  Health:     standby
  Registered: w
  Refreshed:  l
";
        assert_eq!(text(&ServiceName::new("http").unwrap(), &records), expected);
    }
}
