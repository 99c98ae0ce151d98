//! What a request is answered with: measured for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ccm_discovery::{Filter, Listed, Services};
use ccm_health::http::{Feed, Node, Page, Watching};
use ccm_health::metrics::{Counts, write};
use ccm_history::History;
use ccm_wal_ltx::store::NatsStore;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::Problems;
use super::reading::Listing;
use crate::Settings;
use crate::backend::{BackendPort, Measured};
use crate::observe::Observer;
use crate::vip::VipPort;

/// How long the records of the services may take to be read.
const SERVICES_WITHIN: Duration = Duration::from_secs(2);

/// What is known once NATS has been reached.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) observer: Arc<Observer>,
    pub(crate) store: NatsStore,
    pub(crate) services: Services,
}

/// This node, as the endpoints see it.
#[derive(Debug)]
pub(crate) struct HttpNode {
    pub(super) settings: Settings,
    pub(super) port: Arc<BackendPort>,
    pub(super) vip: Option<Arc<VipPort>>,
    pub(super) counts: Arc<Counts>,
    pub(super) known: OnceLock<Known>,
    pub(super) listing: Mutex<Option<Listing>>,
    pub(super) problems: watch::Receiver<Problems>,
    /// What has happened in the cluster, also while NATS is away.
    pub(super) history: History,
    pub(super) feed: Feed,
}

impl HttpNode {
    pub(crate) fn new(
        settings: Settings,
        port: Arc<BackendPort>,
        vip: Option<Arc<VipPort>>,
        counts: Arc<Counts>,
        problems: watch::Receiver<Problems>,
        history: History,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            port,
            vip,
            counts,
            known: OnceLock::new(),
            listing: Mutex::new(None),
            problems,
            history,
            feed: Feed::default(),
        })
    }

    /// NATS has been reached.
    pub(crate) fn know(&self, known: Known) {
        // It is reached once.
        self.known.set(known).ok();
    }

    pub(super) fn known(&self) -> Result<&Known, String> {
        self.known.get().ok_or_else(|| {
            let servers = self.settings.nats.shown().join(", ");
            format!("NATS was not reached yet at {servers}")
        })
    }

    /// The services of all nodes; `Err` says why they are not known, in words.
    pub(super) async fn list_services(&self) -> Result<Listed, String> {
        let services = &self.known()?.services;
        let all = Filter::default();
        match timeout(SERVICES_WITHIN, services.list(&all)).await {
            Ok(Ok(listed)) => Ok(listed),
            Ok(Err(error)) => Err(crate::outcome::words(&error)),
            Err(_) => Err(format!("NATS has not told the services within {SERVICES_WITHIN:?}")),
        }
    }

    /// The status of a node that knows nothing of the cluster: the keys of every status, null
    /// where only NATS knows.
    async fn unknown(&self, problem: String) -> Value {
        let Measured { status, uptime } = self.port.measure().await;
        let settings = &self.settings;
        let own = self.problems.borrow().values().next().cloned();
        json!({
            "clusterId": settings.cluster,
            "nodeId": settings.node,
            "role": "UNKNOWN",
            "leader": null,
            "epoch": null,
            "leaseRemainingMs": null,
            "leaderSince": null,
            "leaseFreeInMs": null,
            "backendStatus": status,
            "backendUptimeSeconds": uptime.as_secs(),
            "txid": null,
            "replicationLagMs": null,
            "unshippedBytes": null,
            "vip": null,
            "nats": { "connected": false, "server": null },
            "notEligible": null,
            "problem": own.map_or(problem.clone(), |own| format!("{problem}; {own}")),
            "nodes": [],
        })
    }
}

impl Node for HttpNode {
    async fn serves(&self) -> Result<(), String> {
        let Measured { status, .. } = self.port.measure().await;
        if status == "running" {
            return Ok(());
        }
        let node = &self.settings.node;
        let place = match self.known() {
            Ok(known) => known.observer.place(),
            Err(why) => why,
        };
        Err(format!("the backend of {node} is {status}; {place}"))
    }

    fn leads(&self) -> Result<(), String> {
        let observer = &self.known()?.observer;
        observer.lease_remaining().map(drop).ok_or_else(|| observer.place())
    }

    fn follows(&self) -> Result<Duration, String> {
        self.known()?.observer.follows()
    }

    async fn status(&self) -> Result<Value, Value> {
        match self.known() {
            Ok(known) => {
                let status = serde_json::to_value(known.observer.status().await);
                status.map_err(|error| json!({ "problem": error.to_string() }))
            }
            Err(why) => Err(self.unknown(why).await),
        }
    }

    async fn services(&self) -> Result<Value, String> {
        let listed = self.list_services().await?;
        Ok(json!({ "services": listed.records, "ignored": listed.garbage }))
    }

    async fn metrics(&self) -> String {
        let reading = self.reading().await;
        write(&self.counts, reading).unwrap_or_default()
    }

    fn page(&self) -> Page {
        let page = ccm_view::page();
        Page { html: &page.html, policy: &page.policy }
    }

    fn watch(&self) -> Option<Watching> {
        self.feed.join()
    }
}
