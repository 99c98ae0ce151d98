//! Reaching NATS and opening everything that lies there, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use ccm_control::{Client as ControlClient, ControlError};
use ccm_election::{Change, Election, ElectionConfig};
use ccm_kv_state::{KvError, NodeRecord, Nodes};
use ccm_types::{Epoch, RoleName, Txid};
use ccm_wal_ltx::store::{LtxStore as _, NatsStore, NatsStoreConfig};
use tokio::sync::mpsc;

use crate::nats::connect_watched;
use crate::outages::Outages;
use crate::presence::FORGET_AFTER;
use crate::{RunError, Settings, Supervisor, address, outcome};

/// One attempt to connect may take so long.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(500);

/// The same problem is said again after so many attempts.
const SAY_AGAIN: u32 = 60;

/// One answer of the object store may take so long.
const STORE_WITHIN: Duration = Duration::from_secs(2);

/// A daemon with the same id answers within this time if it lives.
const PING_WITHIN: Duration = Duration::from_secs(2);

/// Everything in NATS, open.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) client: Client,
    pub(crate) address: String,
    /// Replicas of the buckets.
    pub(crate) replicas: usize,
    pub(crate) store: NatsStore,
    pub(crate) nodes: Nodes,
    pub(crate) control: ControlClient,
    pub(crate) election: Arc<Election>,
    pub(crate) changes: mpsc::Receiver<Change>,
}

/// Waits between attempts, says once what is in the way, and stops when asked to.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    shutdown: &'a mut mpsc::Receiver<()>,
    supervisor: &'a Supervisor,
    said: String,
    since: u32,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(shutdown: &'a mut mpsc::Receiver<()>, supervisor: &'a Supervisor) -> Self {
        Self { shutdown, supervisor, said: String::new(), since: 0 }
    }

    /// `false` when the daemon is to end instead.
    async fn wait(&mut self, problem: String) -> bool {
        self.since += 1;
        if problem != self.said || self.since >= SAY_AGAIN {
            tracing::warn!(%problem, "cannot join the cluster yet: trying again");
            self.supervisor.status(&format!("cannot join the cluster yet: {problem}"));
            // It has started, and goes on trying for as long as it takes.
            self.supervisor.ready();
            self.said = problem;
            self.since = 0;
        }
        tokio::select! {
            _ = self.shutdown.recv() => false,
            () = tokio::time::sleep(RETRY) => true,
        }
    }
}

impl Joined {
    /// Tries until it succeeds, fails for good, or the daemon is to end (`None`).
    pub(crate) async fn reach(
        settings: &Settings,
        instance: &str,
        own: Epoch,
        outages: &Outages,
        patience: &mut Patience<'_>,
    ) -> Result<Option<Self>, RunError> {
        let name = format!("ccm {} {}", settings.cluster, settings.node);
        let client = loop {
            let (begun, seen) = (jiff::Timestamp::now(), Some(outages.clone()));
            match connect_watched(&settings.nats, &name, CONNECT_WITHIN, seen).await {
                Ok(client) => break client,
                Err(error) if error.is_transient() => {
                    outages.lost(begun);
                    if !patience.wait(outcome::words(&error)).await {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        loop {
            match Self::open(settings, instance, own, &client).await {
                Ok(joined) => return Ok(Some(joined)),
                Err(error) if error.is_transient() => {
                    if !patience.wait(outcome::words(&error)).await {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `own` is the highest epoch that the files of this node know of.
    async fn open(
        settings: &Settings,
        instance: &str,
        own: Epoch,
        client: &Client,
    ) -> Result<Self, RunError> {
        let replicas = settings.nats.replicas.unwrap_or_else(|| replicas(client));
        let address = settings.address.or_else(|| address::of_route(&settings.nats.servers));
        let address = address.map_or_else(String::new, |address| address.to_string());
        let cluster = &settings.cluster;
        let control = ControlClient::new(client.clone(), cluster.clone());
        let nodes = Nodes::open(client.clone(), cluster.state_bucket(), replicas).await?;
        let record = first_record(settings, instance, &address);
        claim(&nodes, &control, &record).await?;
        let config = NatsStoreConfig {
            bucket: cluster.wal_bucket(),
            replicas,
            create: true,
            timeout: STORE_WITHIN,
            max_age: None,
        };
        let store = NatsStore::open(client.clone(), config).await?;
        let fence = store.fence().await?.map_or(Epoch::NONE, |fence| fence.epoch);
        let config = ElectionConfig {
            bucket: cluster.election_bucket(),
            replicas,
            node: settings.node.clone(),
            instance: String::from(instance),
            address: address.clone(),
            timing: settings.timing,
            priority: settings.priority,
            floor: own.max(fence),
        };
        let (election, changes) = Election::start(client.clone(), config).await?;
        let election = Arc::new(election);
        Ok(Self {
            client: client.clone(),
            address,
            replicas,
            store,
            nodes,
            control,
            election,
            changes,
        })
    }
}

/// Takes this node's record, unless a living daemon has it.
async fn claim(
    nodes: &Nodes,
    control: &ControlClient,
    record: &NodeRecord,
) -> Result<(), RunError> {
    match nodes.claim(record, FORGET_AFTER).await {
        Ok(()) => Ok(()),
        Err(KvError::Duplicate { instance, address }) => {
            match control.ping(&record.node_id, PING_WITHIN).await {
                Ok(pong) if pong.instance != record.instance => {
                    let node = record.node_id.clone();
                    Err(RunError::Duplicate { node, instance, address })
                }
                // A record of a daemon that has died.
                Ok(_) | Err(ControlError::NoResponder { .. }) => {
                    Ok(nodes.take_over(record, FORGET_AFTER).await?)
                }
                // Silence proves nothing.
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn first_record(settings: &Settings, instance: &str, address: &str) -> NodeRecord {
    NodeRecord {
        node_id: settings.node.clone(),
        cluster_id: settings.cluster.clone(),
        role: RoleName::Passive,
        backend_status: String::from("unknown"),
        last_seen: jiff::Timestamp::now().to_string(),
        version: String::from(env!("CARGO_PKG_VERSION")),
        epoch: Epoch::NONE,
        txid: Txid::ZERO,
        lag_ms: 0,
        address: String::from(address),
        priority: settings.priority,
        candidate: settings.candidate,
        diverged_files: 0,
        diverged_bytes: 0,
        problem: Some(String::from("the daemon is starting")),
        instance: String::from(instance),
    }
}

/// Three on a cluster of three or more servers, as far as the server tells of the others.
fn replicas(client: &Client) -> usize {
    if client.server_info().connect_urls.len() >= 3 { 3 } else { 1 }
}
