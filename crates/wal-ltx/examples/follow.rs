//! Keeps a copy of what is replicated into a NATS bucket, until Ctrl-C.

use std::{env, error::Error, path::PathBuf, sync::Arc};

use ccm_types::NodeId;
use ccm_wal_ltx::follow::{FollowConfig, Follower};
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::store::{NatsStore, NatsStoreConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, replica, nats, bucket] = &*env::args().collect::<Vec<_>>() else {
        return Err("usage: follow REPLICA nats://HOST:PORT BUCKET".into());
    };
    let client = async_nats::connect(nats).await?;
    let config = NatsStoreConfig { create: false, ..NatsStoreConfig::new(bucket.clone()) };
    let store = NatsStore::open(client, config).await?;
    // Where the replica would be served after a promotion.
    let data = PathBuf::from(format!("{replica}-promoted"));
    let local = Local::open(Paths { data, replica: replica.into(), owner: None })?;
    let config = FollowConfig::new(NodeId::new("follow")?);
    let follower = Follower::start(store, Arc::new(local), config);
    let mut progress = follower.progress();
    loop {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => break pressed?,
            changed = progress.changed() => changed?,
        }
        let now = progress.borrow_and_update().clone();
        if let Some(position) = now.position {
            println!("{position}, {} ms behind", now.lag.as_millis());
        }
    }
    follower.stop().await;
    Ok(())
}
