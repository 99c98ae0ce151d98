//! The JSON that goes over the wire. Fields are added, never changed.

use ccm_types::{ClusterId, Epoch, NodeId, RoleName, Txid};
use serde::{Deserialize, Serialize};

/// What a daemon knows of itself and of the cluster, measured when it was asked.
///
/// Also what `ccm status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The node that answers.
    pub node_id: NodeId,
    /// PRIMARY while it holds the lease.
    pub role: RoleName,
    /// Who leads, as far as seen.
    pub leader: Option<NodeId>,
    /// The epoch of that leadership.
    pub epoch: Option<Epoch>,
    /// How long this node's lease is still valid, in milliseconds.
    pub lease_remaining_ms: Option<u64>,
    /// When the leadership of `leader` began, RFC 3339, by the leader's clock.
    #[serde(default)]
    pub leader_since: Option<String>,
    /// Not on the holder: how long until the lease counts as free here unless a renewal is seen
    /// before, in milliseconds.
    #[serde(default)]
    pub lease_free_in_ms: Option<u64>,
    /// `running`, `unhealthy`, `starting`, `stopping`, `stopped`, `failed` or `unknown`.
    pub backend_status: String,
    /// How long it has been running, in seconds.
    pub backend_uptime_seconds: u64,
    /// The last transaction that is in the bucket (primary) or applied (passive).
    pub txid: Txid,
    /// Primary: age of the oldest commit that the bucket lacks; passive: age of the oldest one
    /// in the bucket that the replica lacks. Milliseconds.
    pub replication_lag_ms: u64,
    /// Bytes of the WAL that the bucket lacks.
    pub unshipped_bytes: u64,
    /// The virtual IP, when one is configured.
    pub vip: Option<VipStatus>,
    /// The connection to NATS.
    pub nats: NatsStatus,
    /// Why this node would not take a lease that is free, in words; `None` when it would, or leads.
    #[serde(default)]
    pub not_eligible: Option<String>,
    /// Data files of this node that were set aside.
    #[serde(default)]
    pub diverged: DivergedStatus,
    /// What an operator should know, in words.
    pub problem: Option<String>,
    /// The nodes of the cluster, as they said last.
    pub nodes: Vec<NodeStatus>,
}

/// Data files that were set aside, because they may hold what the cluster does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DivergedStatus {
    /// How many there are.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The size beyond which no further one is set aside (`wal.divergedMaxBytes`).
    pub max_bytes: u64,
    /// The first ones of them.
    pub files: Vec<DivergedFile>,
}

/// A data file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DivergedFile {
    /// Its name, as the commands take it.
    pub name: String,
    /// The epoch under which it was served, 0 when it never was.
    pub epoch: Epoch,
    /// The last of its transactions that is known to be in the bucket.
    pub txid: Option<Txid>,
    /// Its size in bytes, with its `-wal`.
    pub bytes: u64,
}

/// The virtual IP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VipStatus {
    /// `address/prefix`.
    pub address: String,
    /// Whether it is on this node's interface.
    pub held: bool,
}

/// The connection to NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatsStatus {
    /// Whether there is one.
    pub connected: bool,
    /// `host:port` of the server.
    pub server: String,
}

/// One node as it said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The node.
    pub node_id: NodeId,
    /// Its role.
    pub role: RoleName,
    /// Its backend.
    pub backend_status: String,
    /// Its position.
    pub txid: Txid,
    /// Its lag in milliseconds.
    pub replication_lag_ms: u64,
    /// When it said so, RFC 3339.
    pub last_seen: String,
    /// How many data files it has set aside.
    #[serde(default)]
    pub diverged_files: u64,
    /// Their size in bytes.
    #[serde(default)]
    pub diverged_bytes: u64,
    /// What an operator should know, in words.
    pub problem: Option<String>,
}

/// The answer to `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    /// The node.
    pub node_id: NodeId,
    /// The run of its daemon.
    pub instance: String,
    /// The version of its daemon.
    pub version: String,
}

/// Give the leadership away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoteRequest {
    /// Who shall take over; anybody when absent.
    #[serde(default)]
    pub successor: Option<NodeId>,
}

/// Take a snapshot now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRequest {
    /// How long whoever asks waits, in milliseconds; ten minutes when absent. The snapshot goes
    /// on after that.
    #[serde(default = "ten_minutes")]
    pub within_ms: u64,
}

fn ten_minutes() -> u64 {
    600_000
}

impl Default for SnapshotRequest {
    fn default() -> Self {
        Self { within_ms: ten_minutes() }
    }
}

/// A snapshot that is in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotTaken {
    /// The object.
    pub name: String,
    /// Its last transaction.
    pub txid: Txid,
    /// Its size in bytes.
    pub size: u64,
    /// The epoch of the primary that took it.
    pub epoch: Option<Epoch>,
    /// When its last transaction was committed, milliseconds since the Unix epoch.
    pub committed_at_ms: i64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The answer to `control.snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotAnswer {
    /// Whether it is done.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the bucket has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotTaken>,
}

/// The answer to everything else under `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether it is done.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
