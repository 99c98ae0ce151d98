//! What can be restored after compaction and retention, by us and by the real Litestream.

use std::time::Duration;

use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::plan::restore_plan;
use ccm_wal_ltx::store::{Body, Level, LtxName, LtxStore};

use crate::bench::{Bench, check, put};
use crate::source::{Passive, Source, name, node, timestamp};

const LONG: Duration = Duration::from_secs(100_000);

#[tokio::test(flavor = "multi_thread")]
async fn the_compacted_levels_alone_are_the_whole_database() {
    for page_size in [512, 4096, 65536] {
        let bench = Bench::new().await;
        let mut source = Source::new(page_size, 7);
        // One that stays at the tenth transaction until the end.
        let behind = Passive::new();
        for n in 1..=144 {
            put(&bench.store, bench.fence, &source, n).await.unwrap();
            if n == 10 {
                check(&bench.store, &behind, &source).await;
            }
            if n % 17 == 0 {
                bench.pass(LONG, n).await;
            }
            source.commit_random();
        }
        put(&bench.store, bench.fence, &source, 145).await.unwrap();
        // For the last transactions no slot has passed, for those before them not every one.
        bench.pass(LONG, 145).await;
        let plan = restore_plan(&bench.store.list().await.unwrap(), Txid::ZERO, None).unwrap();
        let levels: Vec<u8> = plan.iter().map(|name| name.level.get()).collect();
        assert_eq!(levels, [3, 3, 2, 1, 0, 0, 0, 0, 0, 0], "{plan:?}");
        let names = bench.names().await;
        let above = |n: &&LtxName| n.level > Level::L0;
        assert_eq!(names.iter().filter(above).count(), 14 + 5 + 2, "{names:?}");
        assert!(names.len() < 40, "{names:?}");

        assert!(bench.litestream(&[]).await == source.latest(), "page size {page_size}");
        check(&bench.store, &Passive::new(), &source).await;
        check(&bench.store, &behind, &source).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_the_levels_after_it_are_the_whole_database() {
    let bench = Bench::new().await;
    let mut source = Source::new(4096, 8);
    let slightly = Passive::new();
    for n in 1..=220 {
        put(&bench.store, bench.fence, &source, n).await.unwrap();
        if n % 40 == 0 {
            let body = Body::Bytes(source.ltx(1, n).into());
            let name = name(9, 1, n);
            bench.store.put(bench.fence, name, timestamp(n), body).await.unwrap();
        }
        if n == 210 {
            check(&bench.store, &slightly, &source).await;
        }
        if n % 10 == 3 {
            bench.pass(Duration::from_secs(60), n).await;
        }
        if n < 220 {
            source.commit_random();
        }
    }
    // One pass brings the beginning of the history forward, the next one lets the rest go.
    bench.pass(Duration::from_secs(60), 220).await;
    bench.pass(Duration::from_secs(60), 220).await;
    let names = bench.names().await;
    let snapshots: Vec<_> = names.iter().filter(|n| n.level == Level::SNAPSHOT).collect();
    let [begin, newest] = snapshots[..] else { panic!("two snapshots stay: {names:?}") };
    assert_eq!(*newest, name(9, 1, 200));
    assert!(begin.max > Txid::new(80) && begin.max <= Txid::new(160), "{names:?}");
    assert!(names.iter().all(|n| n.max > begin.max || n == begin), "{names:?}");

    assert!(bench.litestream(&[]).await == source.latest());
    check(&bench.store, &Passive::new(), &source).await;
    let plan = restore_plan(&bench.store.list().await.unwrap(), Txid::new(210), None).unwrap();
    assert!(plan.iter().all(|n| n.level != Level::SNAPSHOT), "no rebuild: {plan:?}");
    check(&bench.store, &slightly, &source).await;
    // The file that ends with transaction 89, and the snapshot of 80 before it.
    let at = names.iter().find(|n| n.min > Txid::new(80) && n.level.get() == 1).unwrap().max;
    let restored = bench.litestream(&["-txid", &at.to_hex()]).await;
    assert!(restored == source.image(at.get()), "transaction {at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn litestream_restores_to_a_time_although_proofs_of_old_epochs_lie_about() {
    let mut bench = Bench::new().await;
    let mut source = Source::new(4096, 9);
    for n in 1..=90 {
        if n % 13 == 0 {
            let epoch = Epoch::new(bench.fence.epoch.get() + 1);
            bench.fence = bench.store.move_fence(epoch, &node("a")).await.unwrap();
        }
        put(&bench.store, bench.fence, &source, n).await.unwrap();
        if n < 90 {
            source.commit_random();
        }
    }
    bench.pass(LONG, 200).await;
    bench.pass(LONG, 200).await;
    assert_eq!(bench.count(0).await, 7, "one proof of every epoch");
    assert!(bench.litestream(&[]).await == source.latest());
    check(&bench.store, &Passive::new(), &source).await;
    let ends: Vec<Txid> =
        bench.names().await.into_iter().filter(|n| n.level.get() == 1).map(|n| n.max).collect();
    for (end, next) in ends.iter().zip(&ends[1..]) {
        // Just before the next file's time a restore ends with this one.
        let time = (timestamp(next.get()) - 1) * 1_000_000;
        let time = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap().to_string();
        let restored = bench.litestream(&["-timestamp", &time]).await;
        assert!(restored == source.image(end.get()), "transaction {end}");
    }
}
