//! Commits while the server that leads the bucket is killed and comes back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use ccm_types::Epoch;
use ccm_wal_ltx::capture::{Capture, CaptureConfig, CaptureProgress};
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::store::{Level, LtxStore as _};
use rusqlite::Connection;

use crate::bench::{Servers, WITHIN, node};

fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    let prepare = "PRAGMA journal_mode = wal; PRAGMA synchronous = normal;
                   CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)";
    connection.execute_batch(prepare).unwrap();
    connection
}

fn rows(path: &Path) -> Vec<(i64, Vec<u8>)> {
    let connection = Connection::open(path).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut rows = connection.prepare("SELECT id, v FROM t ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0).unwrap(), row.get(1).unwrap()))).unwrap();
    rows.map(Result::unwrap).collect()
}

async fn commits_go_on(mut servers: Servers) {
    let store = servers.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (data, spool) = (dir.path().join("data.db"), dir.path().join("spool"));
    std::fs::create_dir(&spool).unwrap();
    let connection = application(&data);
    let config = CaptureConfig { checkpoint_pages: 400, ..CaptureConfig::new(data.clone(), spool) };
    let mut capture = Capture::start(store.clone(), fence, config).await.unwrap();
    let mut progress = capture.progress();
    let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let writing = std::thread::spawn({
        let (stop, committed) = (Arc::clone(&stop), Arc::clone(&committed));
        move || {
            // A row of many chunks now and then.
            while !stop.load(Ordering::Relaxed) {
                let row = committed.fetch_add(1, Ordering::Relaxed) + 1;
                let size = if row % 500 == 0 { 3_000_000 } else { 300 };
                let sql = "INSERT INTO t(v) VALUES (randomblob(?1))";
                connection.execute(sql, [size]).unwrap();
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    });
    for _ in 0..2 {
        let further = async |progress: &mut tokio::sync::watch::Receiver<CaptureProgress>| {
            let before = progress.borrow().txid.get();
            let far = progress.wait_for(|p| p.txid.get() > before + 50);
            tokio::time::timeout(WITHIN, far).await.unwrap().unwrap();
        };
        further(&mut progress).await;
        servers.kill_leader();
        further(&mut progress).await;
        servers.heal();
    }
    stop.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(|| writing.join().unwrap()).await.unwrap();
    let tip = capture.flush(WITHIN).await.unwrap();

    // One transaction after the other, none missing.
    let files = store.list().await.unwrap();
    let level0 = files.iter().filter(|file| file.name.level == Level::L0);
    let txids: Vec<(u64, u64)> =
        level0.map(|file| (file.name.min.get(), file.name.max.get())).collect();
    assert_eq!(txids, (1..=tip.get()).map(|txid| (txid, txid)).collect::<Vec<_>>());
    assert_eq!(store.losses(), 0);
    let (lost, replica) = (dir.path().join("node.db"), dir.path().join("replica.db"));
    let paths = Paths { data: lost, replica: replica.clone(), owner: None };
    let local = Arc::new(Local::open(paths).unwrap());
    catch_up(&servers.open().await, &local, WITHIN, |_, _| {}).await.unwrap();
    let source = rows(&data);
    assert_eq!(source.len(), usize::try_from(committed.load(Ordering::Relaxed)).unwrap());
    assert!(rows(&replica) == source, "the replica has other rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_arrive_in_order_on_one_server() {
    commits_go_on(Servers::one()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_arrive_in_order_on_three_servers() {
    commits_go_on(Servers::three()).await;
}
