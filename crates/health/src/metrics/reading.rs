//! What is looked at when it is asked for.

use std::fmt;
use std::time::Duration;

use ccm_types::{ClusterId, Epoch, NodeId, ServiceName, Txid};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::families::{Number, Writer};

/// One look at a node. `None` and an empty list stand for what could not be measured or is not
/// there, and are not shown.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The version of the daemon.
    pub version: &'static str,
    /// The phase it is in, of all the phases.
    pub phase: Option<&'static str>,
    /// All phases.
    pub phases: &'static [&'static str],
    /// Whether it may take over by itself.
    pub candidate: bool,
    /// Whether it has something to tell an operator.
    pub problem: bool,
    /// The lease as this node knows it, once it has reached NATS.
    pub lease: Option<Lease>,
    /// The backend.
    pub backend: Backend,
    /// How far replication is, while it runs.
    pub replication: Option<ReplicationReading>,
    /// Whether the virtual IP is here, when there is one.
    pub vip_held: Option<bool>,
    /// How often it was announced.
    pub vip_announced: Option<u64>,
    /// What the nodes say of themselves.
    pub peers: Option<Peers>,
    /// What became of what was recorded.
    pub history: History,
    /// The connection to NATS, once there was one.
    pub nats: Option<Nats>,
    /// What is in the bucket of the data, by level.
    pub levels: Vec<Level>,
    /// The age of the newest snapshot in it.
    pub snapshot_age: Option<Duration>,
    /// The services of the cluster.
    pub services: Vec<Service>,
    /// What was found among them that is no record.
    pub services_ignored: Option<u64>,
}

/// The lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    /// Until it ends, while this node holds it.
    pub remaining: Option<Duration>,
    /// The epoch of the leadership that this node has seen last.
    pub epoch: Option<Epoch>,
}

/// What a backend can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendState {
    /// Runs, and answers when it is probed.
    Running,
    /// Runs and does not answer.
    Unhealthy,
    /// On its way up.
    Starting,
    /// On its way down.
    Stopping,
    /// Does not run.
    Stopped,
    /// Has ended by itself.
    Failed,
    /// Nobody could be asked.
    Unknown,
}

impl BackendState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Unhealthy,
        Self::Starting,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Unknown,
    ];

    /// The state with this name, [`BackendState::Unknown`] when there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.name() == name).unwrap_or(Self::Unknown)
    }

    /// As it is called in `status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unhealthy => "unhealthy",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// What it is.
    pub state: BackendState,
    /// How long it has been running.
    pub uptime: Duration,
}

/// How far replication is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplicationReading {
    /// The last transaction that is in the bucket (primary) or in the replica (passive).
    pub txid: Option<Txid>,
    /// Primary: age of the oldest commit that the bucket lacks. Passive: age of the oldest one in
    /// the bucket that the replica lacks.
    pub lag: Option<Duration>,
    /// Age of the oldest commit that the bucket lacks, on a primary.
    pub unshipped_age: Option<Duration>,
    /// Bytes of the WAL that the bucket lacks, on a primary.
    pub unshipped_bytes: Option<u64>,
}

/// The connection to NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nats {
    /// Whether there is one.
    pub connected: bool,
    /// Connections made, the first one included.
    pub connects: u64,
    /// To the server and back.
    pub rtt: Option<Duration>,
}

/// What the nodes say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peers {
    /// Nodes with a record, this one included.
    pub nodes: u64,
    /// Keys that hold no record.
    pub ignored: u64,
}

/// What became of what this node has recorded in the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Events in the stream.
    pub published: u64,
    /// Events that were lost.
    pub dropped: u64,
    /// Events that wait for NATS.
    pub waiting: u64,
    /// What is in the stream and is no event.
    pub ignored: u64,
}

/// What is in the bucket at one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// 0 to 8, and 9 for snapshots.
    pub level: u8,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One service of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// The nodes that offer it.
    pub total: u64,
    /// Those where it is `passing`.
    pub healthy: u64,
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer {
            encoder: &mut encoder,
            cluster: self.cluster.as_str(),
            node: self.node.as_str(),
        };
        self.contract(&mut writer)?;
        self.services(&mut writer)?;
        self.node(&mut writer)?;
        self.progress(&mut writer)?;
        self.others(&mut writer)?;
        self.bucket(&mut writer)
    }
}

impl Reading {
    /// The names that are promised.
    fn contract(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let leads = self.lease.map(|lease| lease.remaining.is_some());
        let help = "Whether this node holds the lease (1) or not (0).";
        writer.gauge("convex_cluster_is_leader", help, leads)?;
        let epoch = self.lease.and_then(|lease| lease.epoch);
        let epoch = epoch.map(|epoch| (writer.of_cluster(&[]), epoch.get().into()));
        let help = "The epoch of the leadership that this node has seen last.";
        writer.gauges("convex_cluster_leader_epoch", help, epoch.into_iter().collect())?;
        let state = |state: BackendState| {
            let labels = writer.of_node(&[("status", state.name())]);
            (labels, (state == self.backend.state).into())
        };
        let states = BackendState::ALL.map(state).into();
        let help = "The backend of this node: 1 at its status, 0 at the others.";
        writer.gauges("convex_cluster_backend_status", help, states)?;
        let help = "How long the backend of this node has been running, 0 when it is not.";
        writer.gauge("convex_cluster_backend_uptime_seconds", help, Some(self.backend.uptime))?;
        let lag = self.replication.and_then(|replication| replication.lag);
        let lag = lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        let help = "Primary: age of the oldest commit that the bucket lacks; passive: age of the \
                    oldest one in the bucket that the replica lacks; in milliseconds.";
        writer.gauge("convex_cluster_replication_lag_ms", help, lag)?;
        let help = "Whether the virtual IP is on the interface of this node.";
        writer.gauge("convex_cluster_vip_held", help, self.vip_held)
    }

    fn services(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let samples = |count: fn(&Service) -> u64| {
            let sample = |one: &Service| {
                (writer.of_cluster(&[("service", one.name.as_str())]), Number::from(count(one)))
            };
            self.services.iter().map(sample).collect::<Vec<_>>()
        };
        let (total, healthy) = (samples(|one| one.total), samples(|one| one.healthy));
        let help = "Nodes that announce the service.";
        writer.gauges("convex_cluster_services_total", help, total)?;
        let help = "Nodes where the service is passing.";
        writer.gauges("convex_cluster_services_healthy", help, healthy)?;
        let help = "Writings in the services bucket that were no service record.";
        writer.counter("ccm_services_ignored", help, self.services_ignored)
    }

    fn node(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let labels = writer.of_node(&[("version", self.version)]);
        let help = "The version of the daemon.";
        writer.gauges("ccm_build_info", help, vec![(labels, true.into())])?;
        let phases = self.phase.map_or(&[][..], |_| self.phases);
        let phase = |phase: &&'static str| {
            let labels = writer.of_node(&[("phase", phase)]);
            (labels, (Some(*phase) == self.phase).into())
        };
        let phases = phases.iter().map(phase).collect();
        writer.gauges("ccm_phase", "The phase of this node: 1 at it, 0 at the others.", phases)?;
        let help = "Whether this node may take over by itself.";
        writer.gauge("ccm_candidate", help, Some(self.candidate))?;
        let help = "Whether the status of this node names a problem.";
        writer.gauge("ccm_problem", help, Some(self.problem))?;
        let remaining = self.lease.and_then(|lease| lease.remaining);
        let help = "Until the lease of this node ends unless it is renewed; only while it is held.";
        writer.gauge("ccm_lease_remaining_seconds", help, remaining)?;
        let nats = self.nats;
        let help = "Whether there is a connection to NATS.";
        writer.gauge("ccm_nats_connected", help, nats.map(|nats| nats.connected))?;
        let help = "Connections made to NATS, the first one included.";
        writer.counter("ccm_nats_connects", help, nats.map(|nats| nats.connects))?;
        let help = "A message to the NATS server and its answer, measured for this scrape.";
        writer.gauge("ccm_nats_rtt_seconds", help, nats.and_then(|nats| nats.rtt))
    }

    fn progress(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let replication = self.replication.unwrap_or_default();
        let help = "The last transaction that is in the bucket (primary) or in the replica \
                    (passive).";
        writer.gauge("ccm_txid", help, replication.txid.map(Txid::get))?;
        let help = "Primary: age of the oldest commit that the bucket lacks; passive: age of the \
                    oldest one in the bucket that the replica lacks.";
        writer.gauge("ccm_replication_lag_seconds", help, replication.lag)?;
        let help = "Age of the oldest commit that the bucket lacks: what the loss of this primary \
                    would cost.";
        writer.gauge("ccm_unshipped_age_seconds", help, replication.unshipped_age)?;
        let help = "Bytes of the WAL of this primary that the bucket lacks.";
        writer.gauge("ccm_unshipped_bytes", help, replication.unshipped_bytes)
    }

    fn others(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let help = "Times that the virtual IP was announced.";
        writer.counter("ccm_vip_announcements", help, self.vip_announced)?;
        let help = "Nodes of the cluster whose daemons have a record, this one included.";
        writer.gauge("ccm_nodes", help, self.peers.map(|peers| peers.nodes))?;
        let help = "Keys in the state bucket that hold no node record.";
        writer.counter("ccm_nodes_ignored", help, self.peers.map(|peers| peers.ignored))?;
        let History { published, dropped, waiting, ignored } = self.history;
        let help = "Events of this node that are in the history.";
        writer.counter("ccm_history_published", help, Some(published))?;
        let help = "Events of this node that were lost, because too many waited for NATS.";
        writer.counter("ccm_history_dropped", help, Some(dropped))?;
        let help = "Events of this node that wait for NATS.";
        writer.gauge("ccm_history_waiting", help, Some(waiting))?;
        let help = "What is in the stream of the history and is no event.";
        writer.counter("ccm_history_ignored", help, Some(ignored))
    }

    fn bucket(&self, writer: &mut Writer<'_, '_>) -> fmt::Result {
        let samples = |count: fn(&Level) -> u64| {
            let sample = |level: &Level| {
                let labels = writer.of_node(&[("level", &level.level.to_string())]);
                (labels, Number::from(count(level)))
            };
            self.levels.iter().map(sample).collect::<Vec<_>>()
        };
        let (objects, bytes) = (samples(|level| level.objects), samples(|level| level.bytes));
        let help = "Objects in the bucket of the data, by level; 9 are snapshots.";
        writer.gauges("ccm_bucket_objects", help, objects)?;
        let help = "Bytes of the objects in the bucket of the data, by level; 9 are snapshots.";
        writer.gauges("ccm_bucket_bytes", help, bytes)?;
        let help = "Age of the newest snapshot in the bucket of the data, by the clocks of the \
                    primary and this node.";
        writer.gauge("ccm_snapshot_age_seconds", help, self.snapshot_age)
    }
}
