//! Catching up once: what it refuses, and a bucket that the real Litestream wrote.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::follow::{FollowError, Stuck, catch_up};
use ccm_wal_ltx::plan::Verdict;
use ccm_wal_ltx::store::{LtxStore, NatsStore, NatsStoreConfig};
use rusqlite::Connection;

use crate::source::{Bucket, Passive, Source};

const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_empty_bucket_a_hole_and_a_bucket_that_lost_data_are_errors() {
    let mut source = Source::new(4096, 40);
    (0..5).for_each(|_| source.commit_random());
    let (bucket, passive) = (Bucket::new().await, Passive::new());
    let once = || catch_up(&bucket.store, &passive.local, WITHIN, |_, _| {});
    assert!(matches!(once().await, Err(FollowError::NoData)));
    bucket.put(&source, 0, 1, 1).await;
    bucket.put(&source, 0, 3, 3).await;
    let hole = once().await.unwrap_err();
    assert!(matches!(hole, FollowError::Stuck(Stuck::Hole(_))), "{hole}");
    bucket.put(&source, 0, 2, 2).await;
    assert_eq!(once().await.unwrap().txid, Txid::new(3));
    bucket.delete(0, 3, 3).await;
    assert_eq!(once().await.unwrap().txid, Txid::new(3), "the newest data there is");
    assert!(passive.replica() == source.image(3), "the replica is kept");
}

async fn open(nats: &NatsServer) -> NatsStore {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from("convex-test-wal"),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(2),
        max_age: None,
    };
    NatsStore::open(client, config).await.unwrap()
}

#[tokio::test]
async fn a_server_that_is_gone_is_waited_for_until_the_deadline() {
    let mut nats = NatsServer::start();
    let store = open(&nats).await;
    nats.kill();
    let passive = Passive::new();
    let within = Duration::from_millis(300);
    let error = catch_up(&store, &passive.local, within, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, FollowError::Deadline { .. }), "{error}");
}

/// A real Litestream that replicates `database` into the bucket.
fn litestream(nats: &NatsServer, database: &Path) -> Child {
    let config = database.with_extension("yml");
    let text = format!(
        "dbs:\n  - path: {}\n    monitor-interval: 20ms\n    replica:\n      type: nats\n      \
         url: {}/convex-test-wal\n      sync-interval: 20ms\n",
        database.display(),
        nats.url()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(ccm_harness::litestream());
    command.arg("replicate").arg("-config").arg(config);
    ccm_harness::spawn_bound(&command)
}

fn rows(path: &Path) -> Vec<(i64, String)> {
    let connection = Connection::open(path).unwrap();
    let check: String = connection.query_row("pragma integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut select = connection.prepare("select id, x from t order by id").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_node_starts_from_a_bucket_that_stock_litestream_wrote_and_follows_it() {
    let nats = NatsServer::start();
    let store = open(&nats).await;
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("source.db");
    let source = Connection::open(&database).unwrap();
    source
        .execute_batch(
            "pragma journal_mode = wal; pragma busy_timeout = 5000; pragma wal_autocheckpoint = 0;
             create table t(id integer primary key, x text);",
        )
        .unwrap();
    let mut child = litestream(&nats, &database);
    let passive = Passive::new();
    for round in 0..5 {
        for _ in 0..20 {
            source.execute("insert into t(x) values (hex(randomblob(300)))", []).unwrap();
        }
        let expected: i64 =
            source.query_row("select count(*) from t", [], |row| row.get(0)).unwrap();
        ccm_harness::wait::until_async(
            Duration::from_secs(30),
            "the replica to have the rows",
            tokio::time::sleep,
            || async {
                catch_up(&store, &passive.local, WITHIN, |_, _| {}).await.ok()?;
                // A copy: opening the replica itself would leave files beside it.
                let copy = dir.path().join("copy.db");
                std::fs::copy(passive.path("replica.db"), &copy).unwrap();
                (i64::try_from(rows(&copy).len()).unwrap() == expected).then_some(())
            },
        )
        .await;
        if round == 2 {
            source.execute_batch("delete from t where id % 2 = 0; vacuum;").unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let expected = rows(&database);
    let placed = passive.local.place(Verdict::Swap, Epoch::new(1)).unwrap();
    assert_eq!(placed.position.unwrap().txid, store.tip().await.unwrap());
    assert_eq!(rows(&passive.path("data.db")), expected);
}
