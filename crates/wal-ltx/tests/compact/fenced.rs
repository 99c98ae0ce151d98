//! A compactor whose term is over.

use std::time::Duration;

use bytes::Bytes;
use ccm_types::Epoch;
use ccm_wal_ltx::compact::{CompactConfig, Compactor, pass};
use ccm_wal_ltx::plan::Schedule;
use ccm_wal_ltx::store::{Body, LtxStore};

use crate::bench::{Bench, WITHIN, config, open, put};
use crate::source::{Source, name, node, timestamp};

#[tokio::test(flavor = "multi_thread")]
async fn it_writes_and_deletes_nothing() {
    let bench = Bench::new().await;
    let mut source = Source::new(4096, 1);
    for n in 1..=30 {
        put(&bench.store, bench.fence, &source, n).await.unwrap();
        source.commit_random();
    }
    let new = open(&bench.nats).await;
    new.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    let before = new.list().await.unwrap();
    let messages = bench.messages();

    // Compactions are due.
    let config = config(&bench.spool(), Duration::from_secs(1));
    let error = pass(&bench.store, bench.fence, &config, timestamp(100)).await.unwrap_err();
    assert!(error.is_fenced(), "{error}");
    assert_eq!(new.list().await.unwrap(), before);
    assert_eq!(bench.messages(), messages, "the chunks of the merged file are gone, too");

    // Only deletions are due.
    let none = CompactConfig {
        schedule: Schedule { intervals: Vec::new(), ..Schedule::default() },
        ..config.clone()
    };
    let second = new.move_fence(Epoch::new(3), &node("b")).await.unwrap();
    new.put(second, name(1, 1, 29), timestamp(29), Body::Bytes(Bytes::from_static(b"x")))
        .await
        .unwrap();
    let before = new.list().await.unwrap();
    let error = pass(&bench.store, bench.fence, &none, timestamp(100)).await.unwrap_err();
    assert!(error.is_fenced(), "{error}");
    assert_eq!(new.list().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_and_says_so() {
    let bench = Bench::new().await;
    let mut source = Source::new(4096, 2);
    for n in 1..=5 {
        put(&bench.store, bench.fence, &source, n).await.unwrap();
        source.commit_random();
    }
    open(&bench.nats).await.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    let config = CompactConfig {
        schedule: Schedule { intervals: vec![Duration::from_millis(50)], ..Schedule::default() },
        ..config(&bench.spool(), Duration::from_secs(1))
    };
    let compactor = Compactor::start(bench.store.clone(), bench.fence, config);
    let mut progress = compactor.progress();
    let ended = tokio::time::timeout(WITHIN, progress.wait_for(|p| p.fenced)).await;
    assert!(ended.unwrap().unwrap().problem.as_ref().unwrap().contains("fenced"));
    // The sender is gone: nothing goes on.
    let over = tokio::time::timeout(WITHIN, progress.wait_for(|_| false)).await;
    assert!(over.unwrap().is_err());
    assert_eq!(bench.names().await.len(), 5);
    compactor.stop().await;
}
