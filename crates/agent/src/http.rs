//! The endpoints of the daemon. They are there before NATS is reached, and a port that is in use
//! is a problem to tell of, never a reason to end.

mod node;
mod page;
mod reading;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ccm_health::http::{ListenError, Listener, Offer};
use tokio::sync::watch;

pub(crate) use node::{HttpNode, Known};

use crate::HttpSettings;
use crate::outcome;
use crate::tasks::Tasks;

/// Between two tries to listen at an address that is in use.
const AGAIN: Duration = Duration::from_secs(5);

/// What is wrong at present with the endpoints and the unit, by the key that configures them.
pub(crate) type Problems = BTreeMap<&'static str, String>;

/// Starts what is configured; `problems` follows what cannot be listened at.
pub(crate) fn start(
    settings: HttpSettings,
    node: &Arc<HttpNode>,
    problems: &watch::Sender<Problems>,
    tasks: &Tasks,
) {
    let mut offers = Vec::new();
    match (settings.health, settings.metrics) {
        (Some(health), Some(metrics)) if health == metrics && health.port() != 0 => {
            offers.push(("http.healthListen", "health and metrics", health, Offer::Both));
        }
        (health, metrics) => {
            offers.extend(health.map(|at| ("http.healthListen", "health", at, Offer::Health)));
            offers.extend(metrics.map(|at| ("http.metricsListen", "metrics", at, Offer::Metrics)));
        }
    }
    if settings.health.is_some() {
        tasks.spawn("status page", page::run(Arc::clone(node)));
    }
    for (key, what, address, offer) in offers {
        let endpoint = Endpoint {
            key,
            what,
            address,
            offer,
            node: Arc::clone(node),
            problems: problems.clone(),
        };
        tasks.spawn("HTTP endpoint", endpoint.run());
    }
}

/// One address.
struct Endpoint {
    key: &'static str,
    what: &'static str,
    address: SocketAddr,
    offer: Offer,
    node: Arc<HttpNode>,
    problems: watch::Sender<Problems>,
}

impl Endpoint {
    async fn run(self) {
        let mut said = None;
        loop {
            let error = match Listener::bind(self.address).await {
                Ok(listener) => {
                    let (what, address) = (self.what, listener.address());
                    tracing::info!(%address, "{what} is answered over HTTP");
                    self.problems.send_if_modified(|all| all.remove(self.key).is_some());
                    listener.serve(self.node, self.offer).await;
                    return;
                }
                Err(error) => error,
            };
            let problem = self.words(&error);
            if said.as_ref() != Some(&problem) {
                tracing::warn!(
                    "{problem}; the database is served all the same, and it is tried again every \
                     {} s",
                    AGAIN.as_secs()
                );
                self.problems.send_modify(|all| drop(all.insert(self.key, problem.clone())));
                said = Some(problem);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn words(&self, error: &ListenError) -> String {
        let (key, what) = (self.key, self.what);
        let error = outcome::words(error);
        format!("{key}: {what} is not answered over HTTP, because {error}: set {key}, or \"off\"")
    }
}
