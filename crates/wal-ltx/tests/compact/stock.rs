//! A bucket that the real Litestream and ccm write in turns.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccm_harness::wait;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::compact::pass;
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::store::{Level, LtxStore};
use rusqlite::Connection;

use crate::bench::{BUCKET, Bench, WITHIN, check_rows, config};
use crate::source::{Passive, node};

/// The real Litestream at work on `database`, with levels of 1 and 3 seconds.
fn replicate(bench: &Bench, database: &Path) -> Child {
    let yml = database.with_extension("yml");
    let text = format!(
        "levels:\n  - interval: 1s\n  - interval: 3s\nl0-retention: 2s\n\
         l0-retention-check-interval: 1s\n\
         dbs:\n  - path: {}\n    monitor-interval: 20ms\n    replica:\n      type: nats\n      \
         url: {}/{BUCKET}\n      sync-interval: 20ms\n",
        database.display(),
        bench.nats.url()
    );
    std::fs::write(&yml, text).unwrap();
    let mut command = Command::new(ccm_harness::litestream());
    command.arg("replicate").arg("-config").arg(yml);
    ccm_harness::spawn_bound(&command)
}

fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    let prepare = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = wal;
                   PRAGMA wal_autocheckpoint = 0;
                   CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)";
    connection.execute_batch(prepare).unwrap();
    connection
}

fn write(connection: &Connection) {
    connection.execute("INSERT INTO t(v) VALUES (randomblob(500))", []).unwrap();
}

/// Writes until the bucket has files of this level that end beyond `txid`.
async fn write_until(bench: &Bench, connection: &Connection, level: u8, txid: Txid) {
    let level = Level::new(level).unwrap();
    let what = format!("Litestream to make level {}", level.get());
    wait::until_async(WITHIN, &what, tokio::time::sleep, || async {
        write(connection);
        let files = bench.store.list().await.unwrap();
        files.iter().any(|f| f.name.level == level && f.name.max > txid).then_some(())
    })
    .await;
}

/// A passive node with everything there is.
async fn restored(bench: &Bench) -> Passive {
    let passive = Passive::new();
    let within = WITHIN;
    ccm_wal_ltx::follow::catch_up(&bench.store, &passive.local, within, |_, _| {}).await.unwrap();
    passive
}

fn soon() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(120);
    i64::try_from(now.as_millis()).unwrap()
}

async fn check(bench: &Bench, data: &Path) {
    let replica = restored(bench).await;
    check_rows(bench, data, &replica.path("replica.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_compacted_the_other_goes_on_with() {
    let mut bench = Bench::new().await;
    let data = bench.dir.path().join("data.db");
    let connection = application(&data);
    let mut stock = replicate(&bench, &data);
    write_until(&bench, &connection, 2, Txid::ZERO).await;
    stock.kill().unwrap();
    stock.wait().unwrap();

    // We capture the same file, compact its files and ours, and remove its tombstones.
    bench.fence = bench.store.move_fence(Epoch::new(2), &node("a")).await.unwrap();
    let ours = CaptureConfig::new(data.clone(), bench.spool());
    let mut capture = Capture::start(bench.store.clone(), bench.fence, ours).await.unwrap();
    (0..20).for_each(|_| write(&connection));
    let tip = capture.flush(WITHIN).await.unwrap();
    let config = config(&bench.spool(), Duration::from_secs(100_000));
    let done = pass(&bench.store, bench.fence, &config, soon()).await.unwrap();
    assert!(done.compacted > 0 && done.deleted > 0, "{done:?}");
    while bench.store.sweep(bench.fence).await.unwrap() > 0 {}
    assert!(bench.names().await.iter().any(|n| n.level.get() == 3 && n.max == tip));
    check(&bench, &data).await;

    // Litestream goes on with what we have left, from a copy that it has restored.
    drop(connection);
    let copy = bench.dir.path().join("copy.db");
    std::fs::write(&copy, bench.litestream(&[]).await).unwrap();
    let connection = application(&copy);
    let mut stock = replicate(&bench, &copy);
    write_until(&bench, &connection, 2, tip).await;
    let files = bench.store.list().await.unwrap();
    assert!(files.iter().any(|f| f.name.level.get() == 1 && f.name.max > tip));
    let shipped = || async {
        let replica = restored(&bench).await;
        let path = replica.path("replica.db");
        (count(&path) == count(&copy)).then_some(())
    };
    wait::until_async(WITHIN, "Litestream to ship the rest", tokio::time::sleep, shipped).await;
    stock.kill().unwrap();
    stock.wait().unwrap();
    check(&bench, &copy).await;

    // And back again: another of our nodes takes over.
    let dir = bench.dir.path().join("node");
    std::fs::create_dir(&dir).unwrap();
    let paths = Paths { data: dir.join("data.db"), replica: dir.join("replica.db"), owner: None };
    let local = Arc::new(Local::open(paths).unwrap());
    bench.fence = bench.store.move_fence(Epoch::new(3), &node("b")).await.unwrap();
    ccm_wal_ltx::follow::catch_up(&bench.store, &local, WITHIN, |_, _| {}).await.unwrap();
    pass(&bench.store, bench.fence, &config, soon()).await.unwrap();
    check(&bench, &copy).await;
}

fn count(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}
