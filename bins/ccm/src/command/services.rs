//! `ccm services`: what the nodes offer, and how it is.

mod export;
mod list;
mod output;
mod show;
mod watch;

use ccm_discovery::{DiscoveryError, Listed, Services as Records};

use crate::cli::Shared;
use crate::cli::services::Services;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit, Failure};
use crate::print;

pub(crate) async fn run(shared: &Shared, services: &Services) -> Ended {
    match services {
        Services::List { which } => list::run(shared, &which.filter()).await,
        Services::Show { name } => show::run(shared, name).await,
        Services::Watch { which } => watch::run(shared, &which.filter()).await,
        Services::Export(asked) => export::run(shared, asked).await,
    }
}

/// The records of the cluster; a command only looks, and makes no bucket.
pub(super) fn records(cluster: &Cluster) -> Records {
    Records::at(cluster.client.clone(), cluster.settings.cluster.services_bucket())
}

/// Says what is no record: it may be why a service is missing.
fn name_garbage(listed: &Listed, bucket: &str) {
    if !listed.garbage.is_empty() {
        let keys: Vec<String> = listed.garbage.iter().map(|key| shown(key)).collect();
        let keys = keys.join(", ");
        print::error(&format!("warning: ignored in {bucket}, no service records: {keys}"));
    }
}

/// Text of a peer on the terminal: nothing that a terminal obeys.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn failure(error: DiscoveryError) -> Failure {
    let exit = if error.is_transient() { Exit::NatsUnreachable } else { Exit::Internal };
    Failure::new(exit, error)
}
