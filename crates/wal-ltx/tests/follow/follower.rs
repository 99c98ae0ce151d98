//! The follower as a task: news, trouble, stopping.

use std::sync::Arc;
use std::time::Duration;

use ccm_wal_ltx::follow::{FollowConfig, FollowPhase, FollowProgress, Follower};
use ccm_wal_ltx::store::{Level, LtxStore as _};
use tokio::sync::watch;

use crate::source::{Bucket, Passive, Source, node};

const WITHIN: Duration = Duration::from_secs(10);

fn start(bucket: &Bucket, passive: &Passive) -> Follower {
    let config = FollowConfig::new(node("passive"));
    Follower::start(bucket.store.clone(), Arc::clone(&passive.local), config)
}

async fn until(
    progress: &mut watch::Receiver<FollowProgress>,
    what: &str,
    look: impl FnMut(&FollowProgress) -> bool,
) -> FollowProgress {
    match tokio::time::timeout(WITHIN, progress.wait_for(look)).await {
        Ok(seen) => seen.unwrap().clone(),
        Err(_) => panic!("waited {WITHIN:?} for {what}"),
    }
}

#[tokio::test]
async fn a_follower_keeps_up_and_is_stopped_with_a_valid_replica() {
    let mut source = Source::new(4096, 50);
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    let follower = start(&bucket, &passive);
    let mut progress = follower.progress();
    assert_eq!(progress.borrow().phase, FollowPhase::Idle);
    bucket.put(&source, 9, 1, 1).await;
    for _ in 0..40 {
        source.commit_random();
        bucket.put(&source, 0, source.txid(), source.txid()).await;
    }
    let tip = source.txid();
    let at = |p: &FollowProgress, txid| p.position.is_some_and(|p| p.txid.get() == txid);
    let seen = until(&mut progress, "the end of the bucket", |p| at(p, tip)).await;
    assert_eq!((seen.phase, seen.lag), (FollowPhase::Following, Duration::ZERO));
    assert_eq!(seen.problem, None);
    let files = bucket.store.list().await.unwrap();
    let first = files.iter().find(|file| file.name.level == Level::SNAPSHOT).unwrap();
    assert_eq!(seen.restored_bytes, first.size);
    assert!(seen.restoring > Duration::ZERO);
    assert!(passive.replica() == source.latest());
    for _ in 0..100 {
        source.commit_random();
        bucket.put(&source, 0, source.txid(), source.txid()).await;
    }
    follower.stop().await;
    let txid = passive.txid().unwrap();
    assert!(passive.replica() == source.image(txid), "stopped at {txid}");
}

#[tokio::test]
async fn a_hole_is_a_problem_until_it_is_filled() {
    let mut source = Source::new(4096, 51);
    (0..4).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&source, 9, 1, 2).await;
    bucket.put(&source, 0, 3, 3).await;
    let follower = start(&bucket, &passive);
    let mut progress = follower.progress();
    let three = |p: &FollowProgress| p.position.is_some_and(|p| p.txid.get() == 3);
    until(&mut progress, "the first files", three).await;
    bucket.put(&source, 0, 5, 5).await;
    let stuck = until(&mut progress, "the problem", |p| p.problem.is_some()).await;
    assert!(stuck.problem.unwrap().contains("transaction 4"));
    assert!(stuck.lag > Duration::ZERO);
    assert!(three(&progress.borrow()), "the replica stays usable");
    bucket.put(&source, 0, 4, 4).await;
    let seen = until(&mut progress, "the end", |p| p.problem.is_none() && p.lag.is_zero()).await;
    assert_eq!(seen.position.unwrap().txid.get(), 5);
    assert!(passive.replica() == source.latest());
    follower.stop().await;
}

#[tokio::test]
async fn a_bucket_that_lost_data_is_a_problem_and_the_replica_is_kept() {
    let mut source = Source::new(4096, 52);
    (0..2).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&source, 9, 1, 2).await;
    bucket.put(&source, 0, 3, 3).await;
    let follower = start(&bucket, &passive);
    let mut progress = follower.progress();
    until(&mut progress, "the end", |p| p.position.is_some_and(|p| p.txid.get() == 3)).await;
    bucket.delete(0, 3, 3).await;
    let seen = until(&mut progress, "the problem", |p| p.problem.is_some()).await;
    assert!(seen.problem.unwrap().contains("lost data"));
    follower.stop().await;
    assert_eq!(passive.txid(), Some(3));
    assert!(passive.replica() == source.latest());
}
