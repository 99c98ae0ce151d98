//! What the page shows: measured once for all who watch, and only while somebody does.

use std::sync::Arc;
use std::time::Duration;

use ccm_discovery::ServiceRecord;
use ccm_types::{BootClock, Monotonic};
use ccm_view::{Board, Look, Part, Subject, Told};
use tokio::time::timeout;

use super::HttpNode;

/// Between the end of a look and the next one.
const EVERY: Duration = Duration::from_secs(1);

/// How long a look may take: a backend's probe has a few seconds.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// Nodes announce their services every few seconds; listing them costs a question each.
const SERVICES_LAST: Duration = Duration::from_secs(4);

/// The services as they were listed, and when.
type Listed = (Monotonic, Result<Vec<ServiceRecord>, String>);

/// Measures while somebody watches.
pub(super) async fn run(node: Arc<HttpNode>) {
    let settings = &node.settings;
    let mut board = Board::new(Subject {
        cluster: settings.cluster.clone(),
        node: settings.node.clone(),
        ttl_ms: u64::try_from(settings.timing.ttl.as_millis()).unwrap_or(u64::MAX),
    });
    let mut listed = None;
    loop {
        node.feed.watched().await;
        board.note(node.look(&mut listed).await);
        let shown = board.shown(BootClock.now(), jiff::Timestamp::now());
        match serde_json::to_string(&shown) {
            Ok(json) => node.feed.tell(&json),
            Err(error) => tracing::error!(%error, "the status page cannot be written as JSON"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

impl HttpNode {
    async fn look(&self, listed: &mut Option<Listed>) -> Look {
        let told = timeout(LOOK_WITHIN, self.told()).await.unwrap_or_else(|_| {
            let problem = format!("the daemon has not measured within {LOOK_WITHIN:?}");
            Told::Part(Box::new(Part { problem, ..Part::default() }))
        });
        let connected = match &told {
            Told::Whole(status) => status.nats.connected,
            Told::Part(part) => part.connected,
        };
        let services = if connected {
            self.services_lately(listed).await
        } else {
            *listed = None;
            Err(String::from("NATS is not reachable"))
        };
        Look {
            at: BootClock.now(),
            now: jiff::Timestamp::now(),
            told,
            services,
            // Those of other nodes as far as the stream has told them.
            events: Ok(self.history.recent()),
        }
    }

    async fn told(&self) -> Told {
        match self.known() {
            Ok(known) => Told::Whole(Box::new(known.observer.status().await)),
            Err(problem) => {
                let measured = self.port.measure().await;
                let backend = (String::from(measured.status), measured.uptime.as_secs());
                Told::Part(Box::new(Part { problem, backend: Some(backend), ..Part::default() }))
            }
        }
    }

    async fn services_lately(
        &self,
        listed: &mut Option<Listed>,
    ) -> Result<Vec<ServiceRecord>, String> {
        let now = BootClock.now();
        if let Some((at, services)) = listed
            && now.since(*at) < SERVICES_LAST
        {
            return services.clone();
        }
        let services = self.list_services().await.map(|listed| listed.records);
        *listed = Some((now, services.clone()));
        services
    }
}
