//! Records an event in the history of a cluster and prints what is there and what comes:
//! `history CLUSTER NODE`, with a nats-server with JetStream at `NATS_URL` or 127.0.0.1:4222.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ccm_history::{Filter, History, Reader, RoleChange, Start, What};
use ccm_types::{ClusterId, NodeId, RoleName};

/// One wait for what comes.
const WAIT: Duration = Duration::from_secs(5);

/// Between two tries while NATS is away.
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("history CLUSTER NODE");
    let (cluster, node) = (ClusterId::new(next()?)?, NodeId::new(next()?)?);
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| String::from("127.0.0.1:4222"));
    let client = async_nats::connect(url).await?;

    let instance = std::process::id().to_string();
    let history = History::new(cluster.clone(), node, instance);
    let reason = String::from("the example was started");
    let what = What::Role(RoleChange { role: RoleName::Passive, reason });
    history.record(jiff::Timestamp::now(), None, &what);

    let mut follow =
        Reader::new(client.clone(), &cluster).follow(Filter::default(), Start::Newest(20));
    let printing = async {
        loop {
            match follow.next(WAIT).await {
                Ok(Some(seen)) => println!("{}", serde_json::to_string(&seen.event)?),
                Ok(None) => {}
                Err(error) => {
                    eprintln!("{error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        printed = printing => printed,
        () = history.run(client, 1) => Ok(()),
    }
}
