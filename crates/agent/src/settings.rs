//! What a node is told: the typed form of its configuration.

use std::path::PathBuf;
use std::time::Duration;

use ccm_election::Timing;
use ccm_types::{ClusterId, NodeId};
use ccm_wal_ltx::local::Paths;

/// Everything the agent needs to run one node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster this node belongs to.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// How to reach NATS.
    pub nats: NatsSettings,
    /// This node's own address; `None` means the local address of the route to NATS.
    pub address: Option<String>,
    /// The lease's numbers, checked.
    pub timing: Timing,
    /// Data file, replica and state directory.
    pub paths: Paths,
    /// Time between two snapshots on the primary.
    pub snapshot_interval: Duration,
    /// How long LTX files are kept.
    pub retention: Duration,
    /// The managed service.
    pub backend: BackendSettings,
    /// The floating address, shown in `status`.
    pub vip: Option<VipSettings>,
    /// Tie-break between candidates with equal data; higher first.
    pub priority: u32,
    /// `false`: never promoted automatically.
    pub candidate: bool,
    /// Whether a guard process holds the deadline.
    pub guard_enabled: bool,
    /// The version shown to peers and operators.
    pub version: String,
    /// The argv that runs the guard for this node.
    pub guard_command: Vec<String>,
}

/// Servers and the ways NATS authenticates.
#[derive(Debug, Clone, Default)]
pub struct NatsSettings {
    /// Server URLs.
    pub servers: Vec<String>,
    /// A credentials file (JWT and seed).
    pub credentials: Option<PathBuf>,
    /// User name, with [`NatsSettings::password`].
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// A bearer token.
    pub token: Option<String>,
    /// An nkey seed.
    pub nkey_seed: Option<String>,
    /// TLS material.
    pub tls: Option<TlsSettings>,
    /// Replicas of the buckets; `None` means 1 on a single server and 3 on three or more.
    pub replicas: Option<usize>,
}

/// TLS towards NATS.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Certificate authority file.
    pub ca: Option<PathBuf>,
    /// Client certificate file.
    pub cert: Option<PathBuf>,
    /// Client key file.
    pub key: Option<PathBuf>,
    /// TLS before the server's INFO.
    pub first: bool,
}

/// The managed service.
#[derive(Debug, Clone)]
pub struct BackendSettings {
    /// Who runs it.
    pub kind: BackendKind,
    /// The URL that answers 2xx when the backend serves; `None`: running counts as serving.
    pub health: Option<String>,
    /// From start to the first healthy answer.
    pub start_timeout: Duration,
    /// From SIGTERM to SIGKILL in a planned stop.
    pub stop_timeout: Duration,
    /// Between two probes.
    pub health_interval: Duration,
    /// For one probe.
    pub health_timeout: Duration,
    /// Owner of promoted files; `None`: the owner of the file that was there.
    pub user: Option<String>,
    /// Group of promoted files.
    pub group: Option<String>,
}

/// Who runs the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendKind {
    /// A systemd unit.
    Systemd {
        /// The unit's name, `.service` may be left out.
        unit: String,
    },
    /// A child of the guard.
    Process {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// The floating address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipSettings {
    /// The address.
    pub address: String,
    /// The prefix length.
    pub netmask: u8,
    /// The interface that carries it.
    pub interface: String,
}
