//! Very many objects become few, and nothing of them stays in the stream.

use std::time::Duration;

use bytes::Bytes;
use ccm_types::Txid;
use ccm_wal_ltx::codec::{LtxDecoder, LtxEncoder, LtxHeader};
use ccm_wal_ltx::store::{Body, LtxStore};

use crate::bench::Bench;
use crate::source::name;

const FILES: u64 = 2100;
const START: i64 = 1_700_000_040_000;

/// One page of a database of four, in every transaction another one.
fn small(txid: u64) -> Bytes {
    let header = LtxHeader {
        page_size: 512,
        commit: 4,
        min: Txid::new(txid),
        max: Txid::new(txid),
        timestamp_ms: START + i64::try_from(txid).unwrap(),
        wal_offset: 32,
        wal_size: 536,
        wal_salt1: 1,
        wal_salt2: 2,
    };
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    let pages = if txid == 1 { 1..=4 } else { 1 + u32::try_from(txid % 4).unwrap()..=4 };
    for pgno in pages.take(if txid == 1 { 4 } else { 1 }) {
        encoder.page(pgno, &txid.to_be_bytes().repeat(64)).unwrap();
    }
    encoder.finish().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_small_files_become_a_handful_and_leave_nothing_behind() {
    let bench = Bench::new().await;
    for txid in 1..=FILES {
        let timestamp = START + i64::try_from(txid).unwrap();
        let body = Body::Bytes(small(txid));
        bench.store.put(bench.fence, name(0, txid, txid), timestamp, body).await.unwrap();
    }
    assert_eq!(bench.messages(), 2 * FILES + 1, "metadata and a chunk each, and the fence");

    // An hour later: all slots have passed, and level 0 is old.
    let deleted = bench.pass(Duration::from_secs(100_000), 40_000).await;
    assert_eq!(deleted, FILES - 1, "all but the newest");
    let expected = [name(0, FILES, FILES), name(1, 1, FILES), name(2, 1, FILES), name(3, 1, FILES)];
    assert_eq!(bench.names().await, expected);
    assert_eq!(bench.messages(), 2 * 4 + 1);
    assert_eq!(bench.state()["num_subjects"], 2 * 4 + 1);
    assert_eq!(bench.store.sweep(bench.fence).await.unwrap(), 0);

    let merged = bench.store.get(name(3, 1, FILES)).await.unwrap();
    let mut decoder = LtxDecoder::new(&merged[..]).unwrap();
    let mut page = Vec::new();
    for pgno in 1..=4_u64 {
        assert_eq!(decoder.next_page(&mut page).unwrap().map(u64::from), Some(pgno));
        let newest = (FILES - 4..=FILES).rev().find(|txid| 1 + txid % 4 == pgno).unwrap();
        assert_eq!(page, newest.to_be_bytes().repeat(64));
    }
    decoder.finish().unwrap();
    bench.pass(Duration::from_secs(100_000), 80_000).await;
    assert_eq!(bench.names().await, expected, "it has come to rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_stored_while_a_large_file_is_on_its_way() {
    let bench = Bench::new().await;
    let large = Body::Bytes(Bytes::from(vec![1; 60 << 20]));
    let large = bench.store.put(bench.fence, name(1, 1, 9), START, large);
    tokio::pin!(large);
    let mut stored = 0;
    for txid in 10.. {
        let body = Body::Bytes(small(txid));
        let small = bench.store.put(bench.fence, name(0, txid, txid), START, body);
        tokio::select! {
            biased;
            done = &mut large => {
                done.unwrap();
                break;
            }
            done = small => done.unwrap(),
        }
        stored += 1;
    }
    assert!(stored > 1, "{stored} small files before the large one");
}
