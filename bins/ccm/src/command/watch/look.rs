//! Looks at the cluster over NATS, one after the other.

mod past;

use std::time::Duration;

use async_nats::connection::State;
use ccm_agent::Settings;
use ccm_control::ControlError;
use ccm_discovery::{Filter, ServiceRecord};
use ccm_history::Event;
use ccm_types::BootClock;
use ccm_view::{Look, Part, PartLeader, Told};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::command::{services, status};
use crate::exit::Failure;
use crate::leader::Lease;
use past::Past;

/// Between the end of a look and the next one.
const EVERY: Duration = Duration::from_secs(1);
/// How long NATS may take to tell the services.
const SERVICES_WITHIN: Duration = Duration::from_secs(2);

/// What is seen while there is no connection.
const AWAY: &str = "NATS is not reachable";

/// A connection, and what is remembered from look to look.
struct Reached {
    cluster: Cluster,
    past: Past,
}

/// Connects, and looks until nobody wants to know any more.
pub(super) async fn for_ever(settings: Settings, looks: mpsc::Sender<Look>) {
    let mut reached = None;
    loop {
        let look = match &mut reached {
            Some(reached) => look(reached).await,
            None => match Cluster::with(settings.clone()).await {
                Ok(cluster) => {
                    let past = Past::of(&cluster);
                    reached = Some(Reached { cluster, past });
                    continue;
                }
                Err(failure) => nothing(&failure),
            },
        };
        if looks.send(look).await.is_err() {
            return;
        }
        sleep(EVERY).await;
    }
}

/// NATS was not reached yet.
fn nothing(failure: &Failure) -> Look {
    let problem = format!("{:#}", failure.error);
    seen(away(problem), Err(String::from(AWAY)), Err(String::from(AWAY)))
}

fn away(problem: String) -> Told {
    Told::Part(Box::new(Part { problem, ..Part::default() }))
}

fn seen(
    told: Told,
    services: Result<Vec<ServiceRecord>, String>,
    events: Result<Vec<Event>, String>,
) -> Look {
    Look { at: BootClock.now(), now: jiff::Timestamp::now(), told, services, events }
}

async fn look(reached: &mut Reached) -> Look {
    let Reached { cluster, past } = reached;
    if cluster.client.connection_state() != State::Connected {
        let servers = cluster.settings.nats.shown().join(", ");
        let told = away(format!("{AWAY} at {servers}"));
        return seen(told, Err(String::from(AWAY)), Err(String::from(AWAY)));
    }
    let (told, services, events) = tokio::join!(told(cluster), listed(cluster), past.events());
    seen(told, services, events)
}

async fn told(cluster: &Cluster) -> Told {
    match cluster.status().await {
        Ok(status) => Told::Whole(Box::new(status)),
        Err(error) => Told::Part(Box::new(without_daemon(cluster, &error).await)),
    }
}

/// What NATS knows.
async fn without_daemon(cluster: &Cluster, error: &ControlError) -> Part {
    let (lease, nodes) = tokio::join!(cluster.lease(), cluster.nodes());
    let leader = lease.ok().map(|lease| PartLeader {
        node: lease.as_ref().and_then(|lease| lease.leader().cloned()),
        epoch: lease.as_ref().map(Lease::epoch),
        since: lease.as_ref().and_then(|lease| lease.since().map(String::from)),
    });
    Part {
        problem: status::problem(&cluster.settings.node, error),
        connected: true,
        backend: None,
        leader,
        nodes: nodes.ok(),
    }
}

async fn listed(cluster: &Cluster) -> Result<Vec<ServiceRecord>, String> {
    let records = services::records(cluster);
    match timeout(SERVICES_WITHIN, records.list(&Filter::default())).await {
        Ok(Ok(listed)) => Ok(listed.records),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("NATS has not told the services within {SERVICES_WITHIN:?}")),
    }
}
