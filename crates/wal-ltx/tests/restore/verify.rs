//! Buckets and replicas that are what they should be, and those that are not.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use ccm_wal_ltx::follow::{FollowConfig, Follower};
use ccm_wal_ltx::plan::{Severity, audit};
use ccm_wal_ltx::store::LtxStore as _;
use ccm_wal_ltx::verify::{VerifyError, VerifyOptions, contents, objects, replica};

use crate::bench::Bench;
use crate::source::{Bucket, Passive, Source, name, node};

const STALL: Duration = Duration::from_secs(20);

fn options(passive: &Passive) -> VerifyOptions {
    VerifyOptions::new(passive.path("replica.db.ccm-verify"))
}

async fn followed(bucket: &Bucket, passive: &Passive) {
    let within = Duration::from_secs(20);
    ccm_wal_ltx::follow::catch_up(&bucket.store, &passive.local, within, |_, _| {}).await.unwrap();
}

#[tokio::test]
async fn every_object_is_read_to_its_end_and_the_damaged_ones_are_named() {
    let bench = Bench::new().await;
    let mut source = Source::new(1024, 41);
    source.commit("insert into t values (1, randomblob(6000000))");
    (0..4).for_each(|_| source.commit_random());
    bench.put(&source, 9, 1, 2).await;
    for txid in 3..=6 {
        bench.put(&source, 0, txid, txid).await;
    }
    let files = bench.store.list().await.unwrap();
    assert_eq!(objects(&bench.store, &files, STALL, |_, _| {}).await.unwrap(), []);
    assert_eq!(audit(&files), []);

    let snapshot = contents(&bench.store, &files[4], STALL, |_| {}).await.unwrap();
    assert_eq!(snapshot.runs, [(1, snapshot.header.commit)]);
    assert_eq!(snapshot.pages, snapshot.header.commit);

    let mut damaged = source.ltx(6, 6);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    bench.put_bytes(name(0, 7, 7), damaged).await;
    bench.put_bytes(name(0, 8, 8), source.ltx(6, 6)).await;
    let files = bench.store.list().await.unwrap();
    let seen = std::sync::Mutex::new((0, 0));
    let report = |done, total| *seen.lock().unwrap() = (done, total);
    let found = objects(&bench.store, &files, STALL, report).await.unwrap();
    let named: Vec<_> = found.iter().map(|finding| finding.name.unwrap()).collect();
    assert_eq!(named, [name(0, 7, 7), name(0, 8, 8)], "{found:?}");
    assert!(found.iter().all(|finding| finding.severity == Severity::Problem));
    let (done, total) = *seen.lock().unwrap();
    assert_eq!(done, total);
}

#[tokio::test]
async fn a_replica_is_compared_page_by_page_and_nothing_is_left_behind() {
    let mut source = Source::new(1024, 42);
    (0..9).for_each(|_| source.commit_random());
    source.commit("insert or replace into t values (99, randomblob(9000))");
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    bucket.put(&source, 9, 1, 6).await;
    for txid in 7..=source.txid() {
        bucket.put(&source, 0, txid, txid).await;
    }
    followed(&bucket, &passive).await;
    let path = passive.path("replica.db");
    let compared = replica(&bucket.store, &path, &options(&passive), |_| {}).await.unwrap();
    assert_eq!(compared.position.txid.get(), source.txid());
    assert_eq!(compared.differing, Vec::<u32>::new());
    assert!(!passive.path("replica.db.ccm-verify").exists());

    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"x", 1024 * 4 + 77).unwrap();
    let compared = replica(&bucket.store, &path, &options(&passive), |_| {}).await.unwrap();
    assert_eq!(compared.differing, [5]);
    assert!(!passive.path("replica.db.ccm-verify").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_follows_all_the_time_is_compared_all_the_same() {
    let mut source = Source::new(1024, 43);
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    (0..199).for_each(|_| source.commit_random());
    let images: Vec<Vec<u8>> = (1..=200).map(|txid| source.ltx(txid, txid)).collect();
    bucket.put_bytes(name(0, 1, 1), images[0].clone()).await;
    let local = std::sync::Arc::clone(&passive.local);
    let config = FollowConfig::new(node("b"));
    let follower = Follower::start(bucket.store.clone(), local, config);
    let mut progress = follower.progress();
    progress.wait_for(|p| p.position.is_some()).await.unwrap();

    let (store, path, options) =
        (bucket.store.clone(), passive.path("replica.db"), options(&passive));
    let writing = async {
        for (txid, image) in (2..).zip(&images[1..]) {
            bucket.put_bytes(name(0, txid, txid), image.clone()).await;
            tokio::task::yield_now().await;
        }
    };
    let comparing = async {
        loop {
            match replica(&store, &path, &options, |_| {}).await {
                Err(VerifyError::Moving { .. }) => {}
                done => return done.unwrap(),
            }
        }
    };
    let ((), compared) = tokio::join!(writing, comparing);
    assert_eq!(compared.differing, Vec::<u32>::new(), "at {}", compared.position);
    follower.stop().await;
}

#[tokio::test]
async fn a_replica_beyond_the_bucket_or_none_at_all_is_told() {
    let mut source = Source::new(1024, 44);
    (0..4).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    let path = passive.path("replica.db");
    let error = replica(&bucket.store, &path, &options(&passive), |_| {}).await.unwrap_err();
    assert!(matches!(error, VerifyError::NoReplica { .. }), "{error}");
    for txid in 1..=5 {
        bucket.put(&source, 0, txid, txid).await;
    }
    followed(&bucket, &passive).await;
    bucket.delete(0, 5, 5).await;
    let error = replica(&bucket.store, &path, &options(&passive), |_| {}).await.unwrap_err();
    assert!(matches!(error, VerifyError::Ahead { .. }), "{error}");
    assert!(!passive.path("replica.db.ccm-verify").exists());
}

#[tokio::test]
async fn a_diverged_file_is_compared_with_what_the_cluster_had_at_its_position() {
    use ccm_types::{Epoch, Txid};
    use ccm_wal_ltx::local::Diverged;
    use ccm_wal_ltx::verify::diverged;

    let mut source = Source::new(1024, 45);
    source.commit("insert into t values (1, 'a'), (2, 'b')");
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    for txid in 1..=2 {
        bucket.put(&source, 0, txid, txid).await;
    }
    // The set-aside file goes on alone, with its last commits in its WAL.
    let path = passive.path("data.db.diverged-e1-t2-1");
    std::fs::write(&path, source.latest()).unwrap();
    let aside = rusqlite::Connection::open(&path).unwrap();
    aside.execute_batch("pragma wal_autocheckpoint = 0").unwrap();
    aside
        .execute_batch("insert into t values (3, 'c'), (4, 'd'), (5, 'e'); create table own(x);")
        .unwrap();
    // The cluster goes on elsewhere.
    source.commit("delete from t");
    bucket.put(&source, 0, 3, 3).await;

    let before = std::fs::read(&path).unwrap();
    let file =
        Diverged { path: path.clone(), epoch: Epoch::new(1), txid: Some(Txid::new(2)), bytes: 0 };
    let options = VerifyOptions::new(passive.path("work"));
    let difference = diverged(&bucket.store, &file, &options, |_| {}).await.unwrap();
    assert_eq!((difference.state.txid.get(), difference.exact), (2, true));
    assert!(difference.pages >= 2, "{difference:?}");
    let tables: Vec<_> = difference
        .tables
        .unwrap()
        .into_iter()
        .map(|table| (table.table, table.here, table.there))
        .collect();
    let expected = [(String::from("own"), Some(0), None), (String::from("t"), Some(5), Some(2))];
    assert_eq!(tables, expected);
    assert!(std::fs::read(&path).unwrap() == before, "the file was changed");
    assert!(!passive.path("work").exists());

    let unknown = Diverged { txid: None, ..file };
    let difference = diverged(&bucket.store, &unknown, &options, |_| {}).await.unwrap();
    assert_eq!((difference.state.txid.get(), difference.exact), (3, false));
    assert!(!passive.path("work").exists());
}
