//! A file of the bucket that is damaged: said, and gone once a snapshot has made it superfluous.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ccm_harness::wait;
use ccm_types::Txid;
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::compact::{CompactConfig, Compactor};
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::plan::{Schedule, Target, plan_to};
use ccm_wal_ltx::store::{Level, LtxName, LtxStore, StoreError};
use rusqlite::Connection;
use serde_json::json;

use crate::bench::{BUCKET, Bench, WITHIN, check_rows};
use crate::source::Passive;

/// Puts other bytes in the place of an object's content, as a disk may.
async fn damage(bench: &Bench, name: LtxName) {
    let subject = format!("$O.{BUCKET}.M.{}", URL_SAFE.encode(name.to_string()));
    let asked = json!({ "last_by_subj": subject });
    let stored = bench.nats.request(&format!("$JS.API.STREAM.MSG.GET.OBJ_{BUCKET}"), &asked);
    let data = STANDARD.decode(stored["message"]["data"].as_str().unwrap()).unwrap();
    let meta: serde_json::Value = serde_json::from_slice(&data).unwrap();
    let chunks = format!("$O.{BUCKET}.C.{}", meta["nuid"].as_str().unwrap());
    let purge = json!({ "filter": chunks });
    let purged = bench.nats.request(&format!("$JS.API.STREAM.PURGE.OBJ_{BUCKET}"), &purge);
    assert_eq!(purged["success"], true, "{purged}");
    let len = usize::try_from(meta["size"].as_u64().unwrap()).unwrap();
    let stored = bench.nats.request(&chunks, &json!("x".repeat(len - 2)));
    assert!(stored["seq"].is_u64(), "{stored}");
    let error = bench.store.get(name).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

/// The schedule of a second; files go no earlier than usual.
fn quick(bench: &Bench) -> CompactConfig {
    let intervals = vec![Duration::from_secs(1), Duration::from_secs(3600)];
    CompactConfig {
        schedule: Schedule { intervals, ..Schedule::default() },
        ..CompactConfig::new(bench.spool(), Duration::from_secs(3600))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_and_goes_when_a_snapshot_holds_what_it_held() {
    let bench = Bench::new().await;
    let data = bench.dir.path().join("data.db");
    let application = Connection::open(&data).unwrap();
    application
        .execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
        .unwrap();
    let config = CaptureConfig::new(data.clone(), bench.spool());
    let mut capture = Capture::start(bench.store.clone(), bench.fence, config).await.unwrap();
    let mut progress = capture.progress();
    let mut write = async |rows: u64| {
        for _ in 0..rows {
            let before = progress.borrow().txid;
            application.execute("INSERT INTO t(v) VALUES (randomblob(900))", []).unwrap();
            progress.wait_for(|p| p.txid > before).await.unwrap();
        }
        progress.borrow().txid
    };
    write(3).await;
    let taken = capture.snapshots().take().await.unwrap();
    let behind = Passive::new();
    catch_up(&bench.store, &behind.local, WITHIN, |_, _| {}).await.unwrap();
    let txid = write(3).await;
    let damaged = LtxName { level: Level::L0, min: txid, max: txid };
    damage(&bench, damaged).await;
    let tip = write(3).await;

    let compactor = Compactor::start(bench.store.clone(), bench.fence, quick(&bench));
    let mut compaction = compactor.progress();
    let said = compaction.wait_for(|p| p.damaged == Some(damaged)).await.unwrap().clone();
    assert!(said.problem.as_ref().unwrap().contains(&damaged.to_string()), "{said:?}");
    assert!(!said.passing);
    // It is found again and again, and stays: nothing else leads to the end.
    let passes = || async {
        let problem = compactor.progress().borrow().problem.clone();
        problem.is_some().then_some(())
    };
    wait::until_async(WITHIN, "it to be said", tokio::time::sleep, passes).await;
    assert!(bench.names().await.contains(&damaged), "it went without a snapshot after {taken:?}");

    let newer = capture.snapshots().take().await.unwrap();
    assert!(newer.name.max >= tip);
    compaction
        .wait_for(|p| p.damaged.is_none() && p.problem.is_none() && p.files > 0)
        .await
        .unwrap();
    assert!(!bench.names().await.contains(&damaged));
    let last = write(2).await;
    // What lies on both sides of the hole is merged.
    let merged = || async {
        let names = bench.names().await;
        let level1 =
            |txid: Txid| names.iter().any(|n| n.level.get() == 1 && n.min <= txid && n.max >= txid);
        (level1(tip) && level1(last)).then_some(())
    };
    wait::until_async(WITHIN, "compaction to go on", tokio::time::sleep, merged).await;
    let files = bench.store.list().await.unwrap();
    assert_eq!(plan_to(&files, Txid::ZERO, Target::Newest).unwrap().state.txid, last);
    // A passive node that was behind the hole gets over it.
    let caught = catch_up(&bench.store, &behind.local, WITHIN, |_, _| {}).await.unwrap();
    assert_eq!(caught.txid, last);
    compactor.stop().await;
    capture.flush(WITHIN).await.unwrap();
    drop(application);
    check_rows(&bench, &data, &behind.path("replica.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_starts_although_the_last_file_is_damaged() {
    let bench = Bench::new().await;
    let data = bench.dir.path().join("data.db");
    let application = Connection::open(&data).unwrap();
    let schema = "PRAGMA journal_mode = wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)";
    application.execute_batch(schema).unwrap();
    let start = async || {
        let config = CaptureConfig::new(data.clone(), bench.spool());
        Capture::start(bench.store.clone(), bench.fence, config).await.unwrap()
    };
    let insert = || application.execute("INSERT INTO t(v) VALUES (randomblob(900))", []).unwrap();
    let mut capture = start().await;
    insert();
    let tip = capture.flush(WITHIN).await.unwrap();
    damage(&bench, LtxName { level: Level::L0, min: tip, max: tip }).await;
    insert();
    let mut capture = start().await;
    insert();
    capture.snapshots().take().await.unwrap();
    assert!(capture.flush(WITHIN).await.unwrap() > tip);
    drop(application);
    let passive = Passive::new();
    catch_up(&bench.store, &passive.local, WITHIN, |_, _| {}).await.unwrap();
    check_rows(&bench, &data, &passive.path("replica.db")).await;
}
