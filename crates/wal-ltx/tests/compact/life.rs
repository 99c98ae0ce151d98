//! A capture, its compactor and a passive node at work, all at once.

use std::path::Path;
use std::time::Duration;

use ccm_harness::wait;
use ccm_types::Epoch;
use ccm_wal_ltx::capture::{Capture, CaptureConfig};
use ccm_wal_ltx::compact::{CompactConfig, Compactor};
use ccm_wal_ltx::follow::{FollowConfig, FollowPhase, Follower};
use ccm_wal_ltx::plan::{Retention, Schedule};
use ccm_wal_ltx::store::LtxStore;
use rusqlite::Connection;

use crate::bench::{Bench, WITHIN, check_rows};
use crate::source::{Passive, node};

fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    let prepare = "PRAGMA journal_mode = wal; PRAGMA synchronous = normal;
                   CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)";
    connection.execute_batch(prepare).unwrap();
    connection
}

fn quick(spool: &Path) -> CompactConfig {
    let history = Duration::from_millis(2500);
    CompactConfig {
        schedule: Schedule {
            intervals: [100, 400, 1200].map(Duration::from_millis).to_vec(),
            ..Schedule::default()
        },
        retention: Retention { level0: Duration::from_millis(300), ..Retention::new(history) },
        settle: Duration::from_millis(200),
        ..CompactConfig::new(spool.to_path_buf(), history)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passive_node_follows_while_levels_are_made_and_files_go() {
    let mut bench = Bench::new().await;
    let data = bench.dir.path().join("data.db");
    let connection = application(&data);
    let passive = Passive::new();
    let follower = Follower::start(
        bench.store.clone(),
        std::sync::Arc::clone(&passive.local),
        FollowConfig::new(node("b")),
    );
    let follow = follower.progress();
    for term in 1..=4 {
        bench.fence = bench.store.move_fence(Epoch::new(term), &node("a")).await.unwrap();
        let config = CaptureConfig {
            snapshot_interval: Duration::from_millis(500),
            checkpoint_pages: 200,
            ..CaptureConfig::new(data.clone(), bench.spool())
        };
        let mut capture = Capture::start(bench.store.clone(), bench.fence, config).await.unwrap();
        let compactor = Compactor::start(bench.store.clone(), bench.fence, quick(&bench.spool()));
        let progress = compactor.progress();
        wait::until_async(WITHIN, "files to go", tokio::time::sleep, || async {
            connection.execute("INSERT INTO t(v) VALUES (randomblob(900))", []).unwrap();
            if connection.last_insert_rowid() % 60 == 0 {
                connection.execute_batch("DELETE FROM t WHERE id % 7 = 0; VACUUM").unwrap();
            }
            let done = progress.borrow().clone();
            assert_eq!(done.problem, None);
            (done.deleted_total > 40 && done.compacted_total > 15).then_some(())
        })
        .await;
        // In the middle of whatever it is doing.
        if term % 2 == 0 {
            compactor.stop().await;
        } else {
            drop(compactor);
        }
        capture.flush(WITHIN).await.unwrap();
    }
    let tip = bench.store.tip().await.unwrap();
    wait::until_async(WITHIN, "the replica to be at the end", tokio::time::sleep, || async {
        let at = follow.borrow().clone();
        (at.position.is_some_and(|p| p.txid == tip) && at.phase == FollowPhase::Following)
            .then_some(())
    })
    .await;
    follower.stop().await;
    drop(connection);
    check_rows(&bench, &data, &passive.path("replica.db")).await;
}
