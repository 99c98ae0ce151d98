//! What a daemon needs to know: the configuration, checked and in this crate's words.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ccm_discovery::Service;
use ccm_election::Timing;
use ccm_guard::GuardHome;
use ccm_types::{ClusterId, NodeId};
use ccm_vip::VipConfig;

/// Everything one daemon needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// This node's own address; `None` takes the local address of the route to NATS.
    pub address: Option<IpAddr>,
    /// How to reach NATS.
    pub nats: NatsSettings,
    /// The two numbers of the lease.
    pub timing: Timing,
    /// Tie-break between candidates; lower waits longer. 100 is the default.
    pub priority: u32,
    /// Whether this node may take over by itself.
    pub candidate: bool,
    /// Where the data is.
    pub files: FileSettings,
    /// The backend.
    pub backend: BackendSettings,
    /// The virtual IP.
    pub vip: Option<VipConfig>,
    /// What this node offers.
    pub services: Vec<Service>,
    /// Where the daemon answers over HTTP.
    pub http: HttpSettings,
    /// Whether a guard keeps the deadline when the daemon cannot.
    pub guard: bool,
    /// The program to run as the guard (`<program> guard --socket ...`): this binary.
    pub guard_program: PathBuf,
    /// Where that program runs.
    pub guard_home: GuardHome,
}

/// Where the daemon answers over HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// `/health`, `/ready`, `/status`; `None` for nowhere.
    pub health: Option<SocketAddr>,
    /// `/metrics`; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
}

/// How to reach NATS.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NatsSettings {
    /// `nats://host:port`, one or more.
    pub servers: Vec<String>,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// User and password.
    pub user: Option<(String, String)>,
    /// A token.
    pub token: Option<String>,
    /// An nkey seed.
    pub nkey_seed: Option<String>,
    /// A CA file that the server's certificate is checked against.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and key files.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// Begin with TLS before the server's greeting.
    pub tls_first: bool,
    /// Replicas of the buckets; `None` is 1 on a single server, 3 on a cluster of three or more.
    pub replicas: Option<usize>,
}

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// The file the backend serves.
    pub data: PathBuf,
    /// The file a passive node keeps up to date; its state lies beside it in `<replica>-ccm`.
    pub replica: PathBuf,
    /// Owner (uid, gid) of promoted files; `None` keeps the owner of the file that was there,
    /// else takes that of the directory.
    pub owner: Option<(u32, u32)>,
    /// Between two snapshots of a primary.
    pub snapshot_interval: Duration,
    /// How long history stays in the bucket.
    pub retention: Duration,
    /// Bytes that data files set aside may have before no further one is.
    pub diverged_max: u64,
}

impl FileSettings {
    /// The folder of this node's own state: `<replica>-ccm`.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        let mut name = self.replica.clone().into_os_string();
        name.push("-ccm");
        PathBuf::from(name)
    }

    /// Where the guard of this node listens.
    #[must_use]
    pub fn guard_socket(&self) -> PathBuf {
        self.state_dir().join("guard.sock")
    }
}

/// The backend and how it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSettings {
    /// systemd unit or process.
    pub kind: BackendKind,
    /// What becomes of a unit that a boot starts.
    pub enabled_unit: EnabledUnit,
    /// Probed with GET; `None` does not probe.
    pub health: Option<String>,
    /// How long a start may take until the first healthy answer.
    pub start_timeout: Duration,
    /// SIGTERM to SIGKILL in a planned stop.
    pub stop_timeout: Duration,
    /// Between two probes.
    pub health_interval: Duration,
    /// How long one probe may take.
    pub health_timeout: Duration,
}

/// What becomes of a unit that a boot, a timer or a socket starts: it would run beside the backend
/// of another node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnabledUnit {
    /// The daemon does not start. One that finds its backend serving goes on, and says so.
    #[default]
    Refuse,
    /// It is disabled, which needs root.
    Disable,
}

/// Who runs the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendKind {
    /// A systemd unit, by name.
    Systemd(String),
    /// A process: argv.
    Process(Vec<String>),
}
