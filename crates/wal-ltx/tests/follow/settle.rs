//! What a follower does with the data file of an earlier leadership.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::codec::{LtxEncoder, LtxHeader};
use ccm_wal_ltx::compact::{CompactConfig, pass};
use ccm_wal_ltx::follow::{FollowConfig, FollowPhase, FollowProgress, Follower, catch_up};
use ccm_wal_ltx::local::DataFile;
use ccm_wal_ltx::plan::{Verdict, compare};
use ccm_wal_ltx::store::{Level, LtxStore};
use rusqlite::Connection;

use crate::source::{Bucket, Passive, Source, name, node, timestamp};

const WITHIN: Duration = Duration::from_secs(10);

/// A former primary of epoch 1 whose backend was killed: its data file with a `-wal`, all of it
/// in the bucket as transactions 1 and 2 unless `unshipped`.
async fn former_primary(bucket: &Bucket, unshipped: bool) -> Passive {
    let passive = Passive::new();
    let live = passive.path("live");
    let backend = Connection::open(&live).unwrap();
    backend.execute_batch("pragma journal_mode = wal; create table t(x);").unwrap();
    backend.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    put_file(bucket, &live, None).await;
    backend.execute_batch("insert into t values ('shipped')").unwrap();
    put_file(bucket, &live, Some(&passive.path("live-wal"))).await;
    if unshipped {
        backend.execute_batch("insert into t values ('unshipped')").unwrap();
    }
    for suffix in ["", "-wal", "-shm"] {
        let name = |base: &str| passive.path(&format!("{base}{suffix}"));
        std::fs::copy(name("live"), name("data.db")).unwrap();
    }
    let stamp = passive.path("replica.db-ccm/stamp.json");
    std::fs::write(stamp, "{\"epoch\":1}").unwrap();
    passive
}

/// The database as transaction 1, or its WAL as transaction 2.
async fn put_file(bucket: &Bucket, database: &Path, wal: Option<&Path>) {
    let (mut pages, mut header) = (std::collections::BTreeMap::new(), LTX);
    if let Some(wal) = wal {
        let wal = std::fs::read(wal).unwrap();
        let word = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
        header = LtxHeader { min: Txid::new(2), max: Txid::new(2), wal_offset: 32, ..header };
        header.wal_size = wal.len() as u64 - 32;
        (header.wal_salt1, header.wal_salt2) = (word(16), word(20));
        for (frame, bytes) in wal[32..].chunks(24 + 4096).enumerate() {
            pages.insert(word(32 + frame * (24 + 4096)), bytes[24..].to_vec());
        }
    } else {
        let image = std::fs::read(database).unwrap();
        pages.extend((1..).zip(image.chunks(4096).map(<[u8]>::to_vec)));
    }
    let len = std::fs::metadata(database).unwrap().len();
    header.commit = u32::try_from(len / 4096).unwrap();
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    for (pgno, page) in pages {
        encoder.page(pgno, &page).unwrap();
    }
    let txid = header.max.get();
    bucket.put_bytes(name(0, txid, txid), encoder.finish().unwrap()).await;
}

const LTX: LtxHeader = LtxHeader {
    page_size: 4096,
    commit: 0,
    min: Txid::new(1),
    max: Txid::new(1),
    timestamp_ms: 1_700_000_000_000,
    wal_offset: 32,
    wal_size: 0,
    wal_salt1: 1,
    wal_salt2: 2,
};

/// Follows until `look` is satisfied, then stops.
async fn follow(
    bucket: &Bucket,
    passive: &Passive,
    look: impl FnMut(&FollowProgress) -> bool,
) -> FollowProgress {
    let config = FollowConfig::new(node("primary"));
    let follower = Follower::start(bucket.store.clone(), Arc::clone(&passive.local), config);
    let mut progress = follower.progress();
    let seen = match tokio::time::timeout(WITHIN, progress.wait_for(look)).await {
        Ok(seen) => seen.unwrap().clone(),
        Err(_) => panic!("still {:?}", follower.progress().borrow()),
    };
    follower.stop().await;
    seen
}

fn following(progress: &FollowProgress) -> bool {
    progress.phase == FollowPhase::Following && progress.lag.is_zero()
}

fn rows(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut select = connection.prepare("select x from t order by rowid").unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn data_that_ends_where_the_bucket_of_its_epoch_ends_becomes_the_replica() {
    let mut bucket = Bucket::new().await;
    let passive = former_primary(&bucket, false).await;
    bucket.take_over(2, "other").await;
    let seen = follow(&bucket, &passive, following).await;
    assert_eq!(seen.position.unwrap().txid, Txid::new(2));
    assert!(passive.local.diverged().unwrap().is_empty());
    assert_eq!(passive.local.data().unwrap(), DataFile::Missing);
    assert_eq!(rows(&passive.path("replica.db")), ["shipped"]);
}

#[tokio::test]
async fn data_of_an_epoch_that_was_compacted_long_ago_becomes_the_replica_all_the_same() {
    let mut bucket = Bucket::new().await;
    let passive = former_primary(&bucket, false).await;
    bucket.take_over(2, "other").await;
    let commit = std::fs::metadata(passive.path("data.db")).unwrap().len() / 4096;
    for txid in [3, 4, 5] {
        let (min, commit) = (Txid::new(txid), u32::try_from(commit).unwrap());
        let header = LtxHeader { min, max: min, commit, timestamp_ms: timestamp(txid), ..LTX };
        let nothing = LtxEncoder::new(Vec::new(), header).unwrap().finish().unwrap();
        bucket.put_bytes(name(0, txid, txid), nothing).await;
    }
    let spool = passive.path("spool");
    std::fs::create_dir(&spool).unwrap();
    let config = CompactConfig {
        settle: Duration::ZERO,
        ..CompactConfig::new(spool, Duration::from_secs(24 * 3600))
    };
    pass(&bucket.store, bucket.fence, &config, timestamp(10_000)).await.unwrap();
    let files = bucket.store.list().await.unwrap();
    let left: Vec<u64> =
        files.iter().filter(|f| f.name.level == Level::L0).map(|f| f.name.max.get()).collect();
    assert_eq!(left, [2, 5]);

    let seen = follow(&bucket, &passive, following).await;
    assert_eq!(seen.position.unwrap().txid, Txid::new(5));
    assert!(passive.local.diverged().unwrap().is_empty());
    assert_eq!(rows(&passive.path("replica.db")), ["shipped"]);
}

#[tokio::test]
async fn data_with_writes_that_were_not_shipped_is_set_aside_with_its_position() {
    let mut bucket = Bucket::new().await;
    let passive = former_primary(&bucket, true).await;
    let wal = std::fs::read(passive.path("data.db-wal")).unwrap();
    bucket.take_over(2, "other").await;
    let seen = follow(&bucket, &passive, following).await;
    assert_eq!(seen.position.unwrap().txid, Txid::new(2));
    assert_eq!(rows(&passive.path("replica.db")), ["shipped"]);
    let diverged = passive.local.diverged().unwrap();
    assert_eq!((diverged[0].epoch, diverged[0].txid), (Epoch::new(1), Some(Txid::new(2))));
    let aside = format!("{}-wal", diverged[0].path.display());
    assert!(std::fs::read(aside).unwrap() == wal, "looking at it has changed nothing");
    assert_eq!(rows(&diverged[0].path), ["shipped", "unshipped"]);
}

#[tokio::test]
async fn data_set_aside_by_a_promotion_has_the_position_that_the_bucket_knows() {
    let mut bucket = Bucket::new().await;
    let passive = former_primary(&bucket, true).await;
    bucket.take_over(2, "other").await;
    let mut source = Source::new(4096, 62);
    (0..3).for_each(|_| source.commit_random());
    bucket.put(&source, 9, 1, 4).await;
    bucket.take_over(3, "primary").await;
    let files = bucket.store.list().await.unwrap();
    let data = passive.local.summary().unwrap();
    let verdict = compare(data, &files).unwrap();
    assert_eq!(verdict, Verdict::Swap);
    catch_up(&bucket.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    let placed = passive.local.place(verdict, Epoch::new(3)).unwrap();
    assert_eq!(placed.position.unwrap().txid, Txid::new(4));
    assert!(std::fs::read(passive.path("data.db")).unwrap() == source.latest());
    let aside = placed.set_aside.unwrap();
    assert!(aside.ends_with("data.db.diverged-e1-t2-1"), "{}", aside.display());
    assert_eq!(rows(&aside), ["shipped", "unshipped"]);
}

#[tokio::test]
async fn data_that_may_be_the_newest_is_left_alone_and_nothing_is_followed() {
    let bucket = Bucket::new().await;
    let passive = former_primary(&bucket, true).await;
    let before = std::fs::read(passive.path("data.db-wal")).unwrap();
    let waiting = |p: &FollowProgress| p.phase == FollowPhase::Waiting;
    let seen = follow(&bucket, &passive, waiting).await;
    assert_eq!((seen.position, seen.problem), (None, None));
    assert_eq!(std::fs::read(passive.path("data.db-wal")).unwrap(), before);
    assert!(!passive.path("replica.db").exists());
    let placed = passive.local.place(Verdict::Keep, Epoch::new(2)).unwrap();
    assert_eq!(placed.set_aside, None);
    assert_eq!(rows(&passive.path("data.db")), ["shipped", "unshipped"]);
}

#[tokio::test]
async fn a_fence_that_this_node_moved_itself_does_not_make_its_data_outdated() {
    let mut bucket = Bucket::new().await;
    let passive = former_primary(&bucket, true).await;
    bucket.take_over(2, "primary").await;
    follow(&bucket, &passive, |p| p.phase == FollowPhase::Waiting).await;
    assert!(passive.path("data.db").exists());
    // Unless somebody has written under a later epoch meanwhile.
    bucket.take_over(3, "other").await;
    let mut source = Source::new(4096, 60);
    (0..3).for_each(|_| source.commit_random());
    bucket.put(&source, 9, 1, 3).await;
    bucket.take_over(4, "primary").await;
    follow(&bucket, &passive, following).await;
    assert!(!passive.path("data.db").exists());
    assert_eq!(passive.local.diverged().unwrap().len(), 1);
}

#[tokio::test]
async fn data_that_was_never_served_is_set_aside_once_somebody_leads() {
    let bucket = Bucket::new().await;
    let source = Source::new(4096, 61);
    bucket.put(&source, 9, 1, 1).await;
    let passive = Passive::new();
    std::fs::write(passive.path("data.db"), source.latest()).unwrap();
    follow(&bucket, &passive, following).await;
    let diverged = passive.local.diverged().unwrap();
    assert_eq!((diverged[0].epoch, diverged[0].txid), (Epoch::NONE, None));
}

#[tokio::test]
async fn a_data_file_that_is_no_database_is_a_problem_and_stays() {
    let bucket = Bucket::new().await;
    let passive = Passive::new();
    std::fs::write(passive.path("data.db"), b"something of the operator's").unwrap();
    let seen = follow(&bucket, &passive, |p| p.problem.is_some()).await;
    assert!(seen.problem.unwrap().contains("not a SQLite database"));
    assert!(passive.path("data.db").exists());
}
