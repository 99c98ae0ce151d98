//! The WAL bucket as a command reads it: opened, never made, never written.

use std::time::Duration;

use ccm_wal_ltx::plan::TargetError;
use ccm_wal_ltx::restore::RestoreError;
use ccm_wal_ltx::store::{LtxInfo, LtxStore as _, NatsStore, NatsStoreConfig, StoreError};
use ccm_wal_ltx::verify::VerifyError;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::exit::{Exit, Failure};

/// How long NATS may take to answer one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Cluster {
    /// The name of the bucket.
    pub(crate) fn bucket_name(&self) -> String {
        self.settings.cluster.wal_bucket()
    }

    /// The bucket; fails when there is none.
    pub(crate) async fn bucket(&self) -> Result<NatsStore, Failure> {
        let bucket = self.bucket_name();
        if !self.has_stream(&format!("OBJ_{bucket}")).await? {
            return Err(Failure::usage(format!(
                "there is no bucket {bucket}: the first PRIMARY of the cluster {} makes it; check \
                 clusterId and nats.servers",
                self.settings.cluster
            )));
        }
        let config = NatsStoreConfig {
            bucket,
            replicas: 1,
            create: false,
            timeout: ANSWER_WITHIN,
            max_age: None,
        };
        NatsStore::open(self.client.clone(), config).await.map_err(store_failure)
    }

    /// The files in the bucket.
    pub(crate) async fn files(&self, store: &NatsStore) -> Result<Vec<LtxInfo>, Failure> {
        store.list().await.map_err(store_failure)
    }
}

/// What a store that failed means for the operator.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    Failure::new(store_exit(&error), error)
}

fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Unavailable { .. } | StoreError::Ambiguous { .. } => Exit::NatsUnreachable,
        StoreError::ServerTooOld { .. } | StoreError::ForeignBucket { .. } => Exit::Usage,
        StoreError::NotFound { .. } => Exit::TryAgain,
        StoreError::Damaged { .. }
        | StoreError::Fenced { .. }
        | StoreError::Exists { .. }
        | StoreError::File { .. } => Exit::Internal,
    }
}

/// What to do about a file of the bucket that is damaged.
pub(crate) const DAMAGED: &str = "`ccm snapshot` makes a snapshot on which the newest state then \
                                  rests, and the PRIMARY removes a damaged file of levels 0 to 8 \
                                  by itself when it comes to compact it";

/// What a restore that failed means for the operator.
pub(crate) fn restore_failure(error: RestoreError) -> Failure {
    let (exit, damage) = (restore_exit(&error), error.is_damage());
    with_advice(exit, damage, error.into())
}

fn with_advice(exit: Exit, damage: bool, error: anyhow::Error) -> Failure {
    if damage {
        Failure::new(exit, anyhow::anyhow!("{error:#}; {DAMAGED}; see `ccm ltx verify`"))
    } else {
        Failure::new(exit, error)
    }
}

fn restore_exit(error: &RestoreError) -> Exit {
    match error {
        RestoreError::Store(error) => store_exit(error),
        RestoreError::Stalled { .. } => Exit::NatsUnreachable,
        RestoreError::Target(TargetError::Empty)
        | RestoreError::InUse { .. }
        | RestoreError::Moving { .. }
        | RestoreError::NoRoom { .. }
        | RestoreError::Interrupted => Exit::TryAgain,
        RestoreError::Target(TargetError::Hole(_))
        | RestoreError::Damaged { .. }
        | RestoreError::Unfit { .. }
        | RestoreError::Malformed { .. }
        | RestoreError::Unsound { .. }
        | RestoreError::Uncheckable { .. } => Exit::Internal,
        RestoreError::Target(
            TargetError::Beyond { .. } | TargetError::Before { .. } | TargetError::Within { .. },
        )
        | RestoreError::Exists { .. }
        | RestoreError::Remains { .. }
        | RestoreError::Local(_) => Exit::Usage,
    }
}

/// What a comparison that was not made means for the operator.
pub(crate) fn verify_failure(error: VerifyError) -> Failure {
    let exit = match &error {
        VerifyError::Restore(error) => restore_exit(error),
        VerifyError::Ahead { .. } | VerifyError::Sqlite { .. } => Exit::Internal,
        VerifyError::NoReplica { .. } | VerifyError::Torn { .. } | VerifyError::Moving { .. } => {
            Exit::TryAgain
        }
        VerifyError::Local(_) => Exit::Usage,
    };
    let damage = matches!(&error, VerifyError::Restore(error) if error.is_damage());
    with_advice(exit, damage, error.into())
}

/// A file of the bucket as JSON.
pub(crate) fn file_json(info: &LtxInfo) -> Value {
    json!({
        "name": info.name.to_string(),
        "level": info.name.level.get(),
        "minTxid": info.name.min,
        "maxTxid": info.name.max,
        "size": info.size,
        "committedAt": moment(info.timestamp_ms),
        "epoch": info.epoch,
    })
}

/// Milliseconds since the Unix epoch in RFC 3339.
pub(crate) fn moment(timestamp_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(timestamp_ms)
        .map_or_else(|_| format!("{timestamp_ms} ms"), |moment| moment.to_string())
}
