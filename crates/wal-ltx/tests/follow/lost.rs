//! A bucket that has lost data, and what becomes of replicas that have it.

use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::follow::{FollowConfig, FollowProgress, Follower, catch_up};
use ccm_wal_ltx::plan::{Verdict, compare};
use ccm_wal_ltx::store::{Body, LtxStore as _};

use crate::source::{Bucket, Passive, Source, name, node, timestamp};

const WITHIN: Duration = Duration::from_secs(30);

/// A replica at transaction 4 of a bucket that is lost then.
async fn replica_of_a_lost_bucket(source: &Source) -> Passive {
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(source, 0, 1, 4).await;
    catch_up(&bucket.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    passive
}

fn source(seed: u64) -> Source {
    let mut source = Source::new(4096, seed);
    (0..6).for_each(|_| source.commit_random());
    source
}

/// Another history under the same numbers, a little later.
async fn put_later(bucket: &Bucket, source: &Source, min: u64, max: u64) {
    let body = Body::Bytes(Bytes::from(source.ltx(min, max)));
    let later = timestamp(max) + 17;
    bucket.store.put(bucket.fence, name(0, min, max), later, body).await.unwrap();
}

#[tokio::test]
async fn a_replica_of_another_history_is_set_aside_and_begun_again() {
    let (one, other) = (source(90), source(91));
    for last in [3, 4, 6] {
        let passive = replica_of_a_lost_bucket(&one).await;
        let bucket = Bucket::new().await;
        for txid in 1..=last {
            put_later(&bucket, &other, txid, txid).await;
        }
        let config = FollowConfig::new(node("passive"));
        let follower =
            Follower::start(bucket.store.clone(), std::sync::Arc::clone(&passive.local), config);
        let there = |p: &FollowProgress| p.position.is_some_and(|p| p.txid.get() == last);
        let mut progress = follower.progress();
        let followed = progress.wait_for(there);
        if last == 3 {
            // It ends earlier and was not written to since: it may have lost the rest.
            let ahead = |p: &FollowProgress| p.problem.is_some();
            let mut progress = follower.progress();
            let seen = tokio::time::timeout(WITHIN, progress.wait_for(ahead)).await.unwrap();
            assert!(seen.unwrap().problem.as_ref().unwrap().contains("has lost data"));
            follower.stop().await;
            assert!(passive.replica() == one.image(4), "kept");
            continue;
        }
        tokio::time::timeout(WITHIN, followed).await.unwrap().unwrap();
        follower.stop().await;
        assert!(passive.replica() == other.image(last));
        let aside = passive.local.diverged().unwrap();
        assert_eq!(aside.len(), 1);
        assert_eq!((aside[0].epoch, aside[0].txid), (Epoch::new(1), Some(Txid::new(4))));
        assert!(std::fs::read(&aside[0].path).unwrap() == one.image(4));
    }
}

#[tokio::test]
async fn a_bucket_that_a_later_epoch_has_written_to_from_earlier_on_is_another_history() {
    let (one, other) = (source(92), source(93));
    let passive = replica_of_a_lost_bucket(&one).await;
    let mut bucket = Bucket::new().await;
    bucket.take_over(2, "other").await;
    bucket.put(&other, 0, 1, 2).await;
    let at = catch_up(&bucket.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    assert_eq!(at.txid, Txid::new(2));
    assert!(passive.replica() == other.image(2));
    assert_eq!(passive.local.diverged().unwrap().len(), 1);
}

#[tokio::test]
async fn the_replica_is_served_when_the_bucket_is_empty() {
    let one = source(94);
    let passive = replica_of_a_lost_bucket(&one).await;
    let bucket = Bucket::new().await;
    let files = bucket.store.list().await.unwrap();
    let verdict = compare(passive.local.summary().unwrap(), &files).unwrap();
    assert_eq!(verdict, Verdict::Swap, "not an empty database");
    let at = catch_up(&bucket.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    assert_eq!(at.txid, Txid::new(4));
    passive.local.place(verdict, Epoch::new(2)).unwrap();
    assert!(std::fs::read(passive.path("data.db")).unwrap() == one.image(4));
}

#[tokio::test]
async fn a_leadership_that_ends_before_it_serves_gives_the_replica_back() {
    let one = source(95);
    let (mut bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&one, 0, 1, 4).await;
    bucket.take_over(2, "passive").await;
    catch_up(&bucket.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    passive.local.place(Verdict::Swap, Epoch::new(2)).unwrap();
    bucket.take_over(3, "other").await;
    bucket.put(&one, 0, 5, 5).await;
    let config = FollowConfig::new(node("passive"));
    let follower =
        Follower::start(bucket.store.clone(), std::sync::Arc::clone(&passive.local), config);
    let mut progress = follower.progress();
    let there = |p: &FollowProgress| p.position.is_some_and(|p| p.txid == Txid::new(5));
    tokio::time::timeout(WITHIN, progress.wait_for(there)).await.unwrap().unwrap();
    follower.stop().await;
    assert!(passive.local.diverged().unwrap().is_empty(), "nothing was set aside");
    assert!(passive.replica() == one.image(5));
}
