//! What each node has said of itself, as the state bucket has it.

use ccm_control::NodeStatus;
use ccm_kv_state::{KvError, Nodes};
use ccm_types::NodeId;

use crate::cluster::Cluster;
use crate::exit::{Exit, Failure};

impl Cluster {
    /// What the nodes have said last; nodes that have fallen silent are forgotten.
    pub(crate) async fn nodes(&self) -> Result<Vec<NodeStatus>, Failure> {
        let bucket = self.settings.cluster.state_bucket();
        // A command only looks: it makes no bucket.
        if !self.has_stream(&format!("KV_{bucket}")).await? {
            return Ok(Vec::new());
        }
        let nodes = Nodes::open(self.client.clone(), bucket, 1).await.map_err(failure)?;
        let records = nodes.list().await.map_err(failure)?;
        let status = |record: ccm_kv_state::NodeRecord| NodeStatus {
            node_id: record.node_id,
            role: record.role,
            backend_status: record.backend_status,
            txid: record.txid,
            replication_lag_ms: record.lag_ms,
            last_seen: record.last_seen,
            diverged_files: record.diverged_files,
            diverged_bytes: record.diverged_bytes,
            problem: record.problem,
        };
        Ok(records.into_iter().map(status).collect())
    }

    /// The nodes that have said something of themselves lately.
    pub(crate) async fn node_ids(&self) -> Result<Vec<NodeId>, Failure> {
        Ok(self.nodes().await?.into_iter().map(|node| node.node_id).collect())
    }
}

fn failure(error: KvError) -> Failure {
    let exit = if error.is_transient() { Exit::NatsUnreachable } else { Exit::Internal };
    Failure::new(exit, error)
}
