//! A bucket that stock Litestream has written.

use std::process::Command;
use std::time::Duration;

use ccm_harness::{litestream, spawn_bound, wait};
use ccm_types::Txid;
use ccm_wal_ltx::plan::Target;
use ccm_wal_ltx::store::LtxStore as _;
use rusqlite::Connection;

use crate::bench::{BUCKET, Bench};

const WITHIN: Duration = Duration::from_secs(60);

fn rows(path: &std::path::Path) -> i64 {
    let database = Connection::open(path).unwrap();
    let check: String = database.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    database.query_row("select count(*) from t", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stock_litestream_replicates_is_restored_at_every_state() {
    let bench = Bench::new().await;
    let data = bench.path("data.db");
    let source = Connection::open(&data).unwrap();
    let prepare = "pragma journal_mode = wal; create table t(x)";
    source.execute_batch(prepare).unwrap();
    let config = bench.path("litestream.yml");
    let yaml = format!(
        "dbs:\n  - path: {}\n    monitor-interval: 20ms\n    replica:\n      type: nats\n      \
         url: {}/{BUCKET}\n      sync-interval: 20ms\n",
        data.display(),
        bench.nats.url(),
    );
    std::fs::write(&config, yaml).unwrap();
    let mut replicate = Command::new(litestream());
    let mut child = spawn_bound(replicate.arg("replicate").arg("-config").arg(&config));

    let mut states: Vec<(Txid, i64)> = Vec::new();
    for count in 1..=5 {
        let before = states.last().map_or(Txid::ZERO, |state| state.0);
        source.execute("insert into t values (randomblob(20000))", []).unwrap();
        let look = async || Some(bench.store.tip().await.unwrap()).filter(|tip| *tip > before);
        let what = "litestream to replicate";
        let tip = wait::until_async(WITHIN, what, tokio::time::sleep, look).await;
        states.push((tip, count));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    for (txid, count) in states {
        bench.restore_to(Target::Txid(txid)).await.unwrap();
        assert_eq!(rows(&bench.path("restored.db")), count, "txid {txid}");
        bench.take();
        for suffix in ["-wal", "-shm"] {
            std::fs::remove_file(bench.path(&format!("restored.db{suffix}"))).ok();
        }
    }
}
