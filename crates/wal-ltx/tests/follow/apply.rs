//! Histories, applied whole and in pieces, interrupted and repaired.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use ccm_types::Txid;
use ccm_wal_ltx::apply::{ApplyError, Content, Fetched, apply};
use ccm_wal_ltx::codec::LtxDecoder;
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::store::LtxStore;

use crate::source::{Bucket, Passive, Source, name};

const WITHIN: Duration = Duration::from_secs(10);

async fn follow(bucket: &Bucket, passive: &Passive) -> u64 {
    let reached = catch_up(&bucket.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    reached.txid.get()
}

#[tokio::test]
async fn a_replica_equals_the_database_after_every_history() {
    for (page_size, seed) in [(512, 1), (1024, 2), (4096, 3), (4096, 4), (65536, 5)] {
        let mut source = Source::new(page_size, seed);
        let (bucket, mut passive) = (Bucket::new().await, Passive::new());
        bucket.put(&source, 0, 1, 1).await;
        for _ in 0..30 {
            source.commit_random();
            let txid = source.txid();
            bucket.put(&source, 0, txid, txid).await;
            if source.below(4) == 0 {
                assert_eq!(follow(&bucket, &passive).await, txid);
                assert!(passive.replica() == source.latest(), "seed {seed} txid {txid}");
                passive = passive.restart();
            }
        }
        assert_eq!(follow(&bucket, &passive).await, source.txid());
        assert!(passive.replica() == source.latest(), "seed {seed}");
    }
}

#[tokio::test]
async fn compacted_files_and_snapshots_lead_to_the_same_database() {
    let mut source = Source::new(4096, 6);
    (0..20).for_each(|_| source.commit_random());
    let bucket = Bucket::new().await;
    bucket.put(&source, 9, 1, 6).await;
    bucket.put(&source, 2, 5, 12).await;
    bucket.put(&source, 1, 13, 17).await;
    for txid in 16..=21 {
        bucket.put(&source, 0, txid, txid).await;
    }
    let passive = Passive::new();
    assert_eq!(follow(&bucket, &passive).await, 21);
    assert!(passive.replica() == source.latest());
}

/// Writes some of a file's pages and an intent, as a crash in the middle leaves them.
fn tear(passive: &Passive, ltx: &[u8], from: u64, to: u64, pages: u64) {
    let position = format!("{{\"epoch\":1,\"txid\":{from}}}");
    let intent = format!("{{\"from\":{position},\"to\":{to},\"files\":[]}}");
    std::fs::write(passive.path("replica.db-ccm/intent.json"), intent).unwrap();
    let file = std::fs::File::options().write(true).open(passive.path("replica.db")).unwrap();
    let mut decoder = LtxDecoder::new(ltx).unwrap();
    let header = *decoder.header();
    let mut page = Vec::new();
    for _ in 0..pages {
        let Some(pgno) = decoder.next_page(&mut page).unwrap() else {
            file.set_len(u64::from(header.commit) * u64::from(header.page_size)).unwrap();
            return;
        };
        let at = u64::from(pgno - 1) * u64::from(header.page_size);
        file.write_all_at(&page, at).unwrap();
    }
}

#[tokio::test]
async fn a_torn_replica_is_not_usable_and_is_repaired_by_any_files_that_go_far_enough() {
    for seed in 10..30 {
        let mut source = Source::new(1024, seed);
        (0..5).for_each(|_| source.commit_random());
        let (bucket, passive) = (Bucket::new().await, Passive::new());
        bucket.put(&source, 9, 1, 6).await;
        assert_eq!(follow(&bucket, &passive).await, 6);
        (0..4).for_each(|_| source.commit_random());
        let pages = source.below(20);
        tear(&passive, &source.ltx(7, 9), 6, 9, pages);
        let passive = passive.restart();
        assert_eq!(passive.txid(), None);
        assert!(passive.local.place(ccm_wal_ltx::plan::Verdict::Swap, bucket.fence.epoch).is_err());
        // Other files than the interrupted ones.
        bucket.put(&source, 1, 7, 8).await;
        bucket.put(&source, 0, 9, 9).await;
        bucket.put(&source, 0, 10, 10).await;
        assert_eq!(follow(&bucket, &passive).await, 10);
        assert_eq!(passive.txid(), Some(10));
        assert!(passive.replica() == source.latest(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_repair_that_is_itself_interrupted_stays_torn_until_it_has_gone_far_enough() {
    let mut source = Source::new(1024, 31);
    (0..9).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&source, 9, 1, 6).await;
    assert_eq!(follow(&bucket, &passive).await, 6);
    tear(&passive, &source.ltx(7, 10), 6, 10, 3);
    for txid in 7..=10 {
        bucket.put(&source, 0, txid, txid).await;
        let file = fetched(&bucket, txid).await;
        apply(&passive.local, &[file]).unwrap();
        assert_eq!(passive.txid(), (txid == 10).then_some(10), "after {txid}");
    }
    assert!(passive.replica() == source.latest());
}

#[tokio::test]
async fn a_torn_replica_that_the_bucket_cannot_repair_is_rebuilt() {
    let mut source = Source::new(1024, 32);
    (0..9).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&source, 9, 1, 6).await;
    follow(&bucket, &passive).await;
    tear(&passive, &source.ltx(7, 9), 6, 9, 2);
    bucket.put(&source, 9, 1, 8).await;
    assert_eq!(follow(&bucket, &passive).await, 8);
    assert!(passive.replica() == source.image(8));
}

#[tokio::test]
async fn a_replica_whose_increments_are_gone_is_rebuilt() {
    let mut source = Source::new(4096, 33);
    (0..9).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    for txid in 1..=3 {
        bucket.put(&source, 0, txid, txid).await;
    }
    assert_eq!(follow(&bucket, &passive).await, 3);
    for txid in 1..=3 {
        bucket.delete(0, txid, txid).await;
    }
    bucket.put(&source, 9, 1, 9).await;
    bucket.put(&source, 0, 10, 10).await;
    assert_eq!(follow(&bucket, &passive).await, 10);
    assert!(passive.replica() == source.latest());
}

#[tokio::test]
async fn a_replica_of_the_wrong_length_or_without_a_record_is_rebuilt() {
    let mut source = Source::new(4096, 34);
    (0..5).for_each(|_| source.commit_random());
    let bucket = Bucket::new().await;
    bucket.put(&source, 9, 1, 6).await;
    for damage in ["cut", "gone", "record"] {
        let passive = Passive::new();
        follow(&bucket, &passive).await;
        let replica = passive.path("replica.db");
        match damage {
            "cut" => std::fs::write(&replica, &source.latest()[..4096]).unwrap(),
            "gone" => std::fs::remove_file(&replica).unwrap(),
            _ => std::fs::remove_file(passive.path("replica.db-ccm/position.json")).unwrap(),
        }
        assert_eq!(passive.txid(), None, "{damage}");
        follow(&bucket, &passive).await;
        assert!(passive.replica() == source.latest(), "{damage}");
    }
}

async fn fetched(bucket: &Bucket, txid: u64) -> Fetched {
    let files = bucket.store.list().await.unwrap();
    let info = files.into_iter().find(|f| f.name == name(0, txid, txid)).unwrap();
    let content = Content::Memory(bucket.store.get(info.name).await.unwrap());
    Fetched { info, content }
}

#[tokio::test]
async fn a_file_that_is_damaged_or_does_not_fit_changes_nothing() {
    let mut source = Source::new(1024, 35);
    (0..5).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&source, 0, 1, 1).await;
    follow(&bucket, &passive).await;
    let mut damaged = source.ltx(3, 3);
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    let other = Source::new(512, 36);
    bucket.put(&source, 0, 2, 2).await;
    bucket.put_bytes(name(0, 3, 3), damaged).await;
    bucket.put_bytes(name(0, 4, 4), source.ltx(5, 5)).await;
    bucket.put_bytes(name(0, 9, 9), other.ltx(1, 1)).await;
    bucket.put(&source, 0, 6, 6).await;
    for batch in [&[2, 3][..], &[4], &[9], &[6], &[2, 6]] {
        let mut files = Vec::new();
        for &txid in batch {
            files.push(fetched(&bucket, txid).await);
        }
        let error = apply(&passive.local, &files).unwrap_err();
        assert!(
            matches!(error, ApplyError::Damaged { .. } | ApplyError::Unfit { .. }),
            "{batch:?}: {error}"
        );
        assert_eq!(passive.txid(), Some(1), "{batch:?}");
        assert!(passive.replica() == source.image(1), "{batch:?}");
    }
    let two = [fetched(&bucket, 2).await];
    assert_eq!(apply(&passive.local, &two).unwrap().txid, Txid::new(2));
    assert!(passive.replica() == source.image(2));
}

#[tokio::test]
async fn a_large_snapshot_goes_over_the_disk_and_leaves_nothing_behind() {
    let mut source = Source::new(4096, 37);
    source.commit("insert into t values (1, randomblob(9000000))");
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&source, 9, 1, 2).await;
    let most = std::sync::atomic::AtomicU64::new(0);
    let heard = |done, total| {
        assert!(done <= total && total > 9_000_000, "{done} of {total}");
        most.fetch_max(done * 100 / total, std::sync::atomic::Ordering::Relaxed);
    };
    catch_up(&bucket.store, &passive.local, WITHIN, heard).await.unwrap();
    assert_eq!(most.into_inner(), 100);
    assert!(passive.replica() == source.latest());
    assert_eq!(std::fs::read_dir(passive.path("replica.db-ccm/spool")).unwrap().count(), 0);
}
