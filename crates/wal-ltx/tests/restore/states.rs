//! Every state that the bucket has, byte for byte.

use ccm_wal_ltx::plan::{Target, TargetError};
use ccm_wal_ltx::restore::RestoreError;

use crate::bench::{Bench, to};
use crate::source::{Source, timestamp};

#[tokio::test]
async fn every_transaction_and_every_moment_come_back_as_they_were() {
    for (page_size, seed) in [(512, 1), (4096, 2), (65536, 3)] {
        let bench = Bench::new().await;
        let mut source = Source::new(page_size, seed);
        (0..11).for_each(|_| source.commit_random());
        for txid in 1..=12 {
            bench.put(&source, 0, txid, txid).await;
        }
        bench.put(&source, 9, 1, 5).await;
        for txid in 1..=12 {
            bench.restore_to(to(txid)).await.unwrap();
            assert!(bench.take() == source.image(txid), "page size {page_size}, txid {txid}");
            let restored = bench.restore_to(Target::At(timestamp(txid) + 999)).await.unwrap();
            assert_eq!(restored.state.txid.get(), txid);
            assert!(bench.take() == source.image(txid), "page size {page_size}, at {txid}");
        }
        let restored = bench.restore().await.unwrap();
        assert!(bench.take() == source.latest());
        assert_eq!((restored.files, restored.resumed), (8, false));
        assert_eq!(restored.bytes(), source.latest().len() as u64);
        assert!(bench.files().is_empty(), "something was left: {:?}", bench.files());
    }
}

#[tokio::test]
async fn compacted_history_comes_back_at_the_states_that_are_left() {
    let bench = Bench::new().await;
    let mut source = Source::new(4096, 4);
    (0..19).for_each(|_| source.commit_random());
    bench.put(&source, 9, 1, 6).await;
    bench.put(&source, 2, 5, 12).await;
    bench.put(&source, 1, 13, 17).await;
    for txid in 17..=20 {
        bench.put(&source, 0, txid, txid).await;
    }
    for (asked, got) in [(7, 6), (12, 12), (16, 12), (18, 18), (99, 20)] {
        let restored = bench.restore_to(Target::At(timestamp(asked))).await.unwrap();
        assert_eq!(restored.state.txid.get(), got, "{asked}");
        assert!(bench.take() == source.image(got));
    }
    let error = bench.restore_to(to(14)).await.unwrap_err();
    let RestoreError::Target(TargetError::Within { before, after, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((before.get(), after.get()), (12, 17));
    assert!(bench.files().is_empty());
}

#[tokio::test]
async fn a_restored_database_is_in_wal_mode_and_takes_writes() {
    let bench = Bench::new().await;
    let source = Source::new(4096, 5);
    bench.put(&source, 0, 1, 1).await;
    bench.restore().await.unwrap();
    let database = rusqlite::Connection::open(bench.path("restored.db")).unwrap();
    let mode: String = database.query_row("pragma journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    database.execute_batch("insert into t values (1, randomblob(10))").unwrap();
}
