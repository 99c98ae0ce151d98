//! `ccm services watch`: a line for every change, until told to end or nobody reads.

use std::io::{ErrorKind, Write as _};

use ccm_discovery::{Change, Filter, ServiceRecord};
use serde_json::{Value, json};

use super::shown;
use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit};
use crate::print;

pub(super) async fn run(shared: &Shared, filter: &Filter) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let mut watch = super::records(&cluster).watch();
    let mut away = false;
    loop {
        let changes = match watch.next().await {
            Ok(changes) => changes,
            Err(error) if error.is_transient() => {
                print::error(&format!("warning: {error}: watching on"));
                away = true;
                continue;
            }
            Err(error) => return Err(super::failure(error)),
        };
        if std::mem::take(&mut away) {
            print::error("NATS answers again");
        }
        for change in changes.into_iter().filter_map(|change| seen(change, filter)) {
            let at = format!("{:.3}", jiff::Timestamp::now());
            let line =
                if shared.json { as_json(&at, &change).to_string() } else { as_text(&at, &change) };
            match writeln!(std::io::stdout(), "{line}") {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
                written => written?,
            }
        }
    }
}

/// A change as it looks to somebody who sees only the records that meet the filter.
fn seen(change: Change, filter: &Filter) -> Option<Change> {
    match change {
        Change::Updated { from, to } | Change::HealthChanged { from, to } => {
            match (filter.meets(&from), filter.meets(&to)) {
                (true, true) if from.health != to.health => {
                    Some(Change::HealthChanged { from, to })
                }
                (true, true) => Some(Change::Updated { from, to }),
                (false, true) => Some(Change::Registered(to)),
                (true, false) => Some(Change::Deregistered(from)),
                (false, false) => None,
            }
        }
        Change::Registered(ref record) | Change::Deregistered(ref record) => {
            filter.meets(record).then_some(change)
        }
    }
}

/// What it is called.
fn kind(change: &Change) -> &'static str {
    match change {
        Change::Registered(_) => "registered",
        Change::Updated { .. } => "updated",
        Change::HealthChanged { .. } => "health",
        Change::Deregistered(_) => "deregistered",
    }
}

fn as_json(at: &str, change: &Change) -> Value {
    json!({ "at": at, "change": kind(change), "service": change.record() })
}

fn as_text(at: &str, change: &Change) -> String {
    let ServiceRecord { name, node, protocol, health, tags, .. } = change.record();
    let health = match change {
        Change::HealthChanged { from, to } => format!("{} -> {}", from.health, to.health),
        Change::Registered(_) | Change::Updated { .. } | Change::Deregistered(_) => {
            health.to_string()
        }
    };
    let (kind, endpoint) = (kind(change), change.record().endpoint());
    let tags = shown(&tags.join(","));
    let line =
        format!("{at}  {kind:<12}  {name}  {node}  {endpoint}  {protocol}  {health}  {tags}");
    String::from(line.trim_end())
}

#[cfg(test)]
mod tests {
    use ccm_discovery::Health;

    use super::*;

    fn record(health: &str, tags: &[&str]) -> ServiceRecord {
        let record = json!({
            "app": "c", "name": "http", "node": "node-1", "address": "10.0.1.10", "port": 3210,
            "protocol": "http", "health": health, "tags": tags, "registeredAt": "",
            "updatedAt": "",
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_change_is_one_line() {
        let (from, to) = (record("standby", &["api"]), record("passing", &["api"]));
        let change = Change::HealthChanged { from, to };
        let expected =
            "T  health        http  node-1  10.0.1.10:3210  http  standby -> passing  api";
        assert_eq!(as_text("T", &change), expected);
        let told = as_json("T", &change);
        assert_eq!(
            (&told["change"], &told["service"]["health"]),
            (&json!("health"), &json!("passing"))
        );
        let gone = Change::Deregistered(record("passing", &[]));
        let expected = "T  deregistered  http  node-1  10.0.1.10:3210  http  passing";
        assert_eq!(as_text("T", &gone), expected);
    }

    #[test]
    fn a_record_that_begins_or_ceases_to_meet_the_filter_comes_and_goes() {
        let (standby, passing) = (record("standby", &[]), record("passing", &["api"]));
        let change = |from: &ServiceRecord, to: &ServiceRecord| Change::HealthChanged {
            from: from.clone(),
            to: to.clone(),
        };
        let filter = Filter { health: Some(Health::Passing), ..Filter::default() };
        let all = Filter::default();
        let kind_of = |change, filter: &Filter| seen(change, filter).as_ref().map(kind);
        assert_eq!(kind_of(change(&standby, &passing), &filter), Some("registered"));
        assert_eq!(kind_of(change(&passing, &standby), &filter), Some("deregistered"));
        assert_eq!(kind_of(change(&standby, &standby), &filter), None);
        assert_eq!(kind_of(change(&standby, &passing), &all), Some("health"));
        assert_eq!(kind_of(Change::Registered(standby), &filter), None);
    }
}
