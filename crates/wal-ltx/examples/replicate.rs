//! Replicates a SQLite database in WAL mode into a NATS bucket, until Ctrl-C.

use std::{env, error::Error, fs, path::PathBuf, time::Duration};

use ccm_types::{Epoch, NodeId};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::compact::{CompactConfig, Compactor};
use ccm_wal_ltx::store::{LtxStore as _, NatsStore, NatsStoreConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, database, nats, bucket] = &*env::args().collect::<Vec<_>>() else {
        return Err("usage: replicate DATABASE nats://HOST:PORT BUCKET".into());
    };
    let client = async_nats::connect(nats).await?;
    let store = NatsStore::open(client, NatsStoreConfig::new(bucket.clone())).await?;
    // From here on the server refuses whoever replicated before.
    let epoch = store.fence().await?.map_or(Epoch::NONE, |fence| fence.epoch).next();
    let fence = store.move_fence(epoch, &NodeId::new("replicate")?).await?;
    let spool = PathBuf::from(format!("{database}-spool"));
    fs::create_dir_all(&spool)?;
    let history = Duration::from_secs(24 * 3600);
    let small = Compactor::start(store.clone(), fence, CompactConfig::new(spool.clone(), history));
    let config = CaptureConfig::new(database.into(), spool);
    let mut capture = Capture::start(store, fence, config).await?;
    let mut progress = capture.progress();
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = progress.wait_for(|progress| progress.ended.is_some()) => {}
    }
    small.stop().await;
    println!("replicated up to txid {}", capture.flush(Duration::from_secs(30)).await?);
    Ok(())
}
