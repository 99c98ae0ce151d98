//! What interrupted work leaves in the stream, and that nothing else is swept away.

use std::time::Duration;

use bytes::Bytes;
use ccm_types::Epoch;
use ccm_wal_ltx::store::{Body, LtxStore};
use futures_util::FutureExt as _;

use crate::bench::{BUCKET, Bench, WITHIN, open};
use crate::source::{name, node};

fn chunk(id: &str) -> String {
    format!("$O.{BUCKET}.C.{id}")
}

/// A message in the stream, whatever the fence says.
async fn publish(bench: &Bench, subject: String) {
    let client = async_nats::connect(bench.nats.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client);
    stream.publish(subject, Bytes::from_static(b"x")).await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_and_chunks_without_an_object_go_and_objects_stay() {
    let bench = Bench::new().await;
    for n in 1..=3 {
        let body = Body::Bytes(Bytes::from(vec![7; 300_000]));
        bench.store.put(bench.fence, name(0, n, n), 1_000, body).await.unwrap();
    }
    let before = bench.messages();
    // What a client of the object store leaves of an object, and what a dead upload leaves.
    let client = async_nats::connect(bench.nats.url()).await.unwrap();
    let bucket = async_nats::jetstream::new(client).get_object_store(BUCKET).await.unwrap();
    bucket.delete(name(0, 2, 2).to_string()).await.unwrap();
    for _ in 0..3 {
        publish(&bench, chunk("abcdefghijklmnopqrstuv")).await;
    }
    publish(&bench, chunk("not-an-id")).await;
    assert_eq!(bench.store.sweep(bench.fence).await.unwrap(), 2);
    // The object had three chunks and its metadata; a proof of the fence has come.
    assert_eq!(bench.messages(), before - 4 + 1 + 1);
    assert_eq!(bench.store.sweep(bench.fence).await.unwrap(), 0);
    assert_eq!(bench.names().await, [name(0, 1, 1), name(0, 3, 3)]);
    assert_eq!(bench.store.get(name(0, 3, 3)).await.unwrap().len(), 300_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_stay_when_the_fence_has_moved_for_they_may_be_of_a_new_upload() {
    let bench = Bench::new().await;
    publish(&bench, chunk("abcdefghijklmnopqrstuv")).await;
    open(&bench.nats).await.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    let before = bench.messages();
    assert!(bench.store.sweep(bench.fence).await.unwrap_err().is_fenced());
    assert_eq!(bench.messages(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_under_way_are_left_alone() {
    let bench = Bench::new().await;
    let puts = async {
        for n in 1..=60_u64 {
            let body = Body::Bytes(Bytes::from(vec![1; 400_000]));
            bench.store.put(bench.fence, name(0, n, n), 1_000, body).await.unwrap();
        }
    };
    let sweeps = async {
        loop {
            assert_eq!(bench.store.sweep(bench.fence).await.unwrap(), 0);
        }
    };
    tokio::select! {
        () = puts => {}
        () = sweeps => {}
    }
    for n in 1..=60 {
        assert_eq!(bench.store.get(name(0, n, n)).await.unwrap().len(), 400_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_given_up_is_swept_in_the_next_term() {
    let bench = Bench::new().await;
    let before = bench.messages();
    let body = || Body::Bytes(Bytes::from(vec![1; 40_000_000]));
    let put = bench.store.put(bench.fence, name(1, 1, 9), 1_000, body());
    let begun = ccm_harness::wait::until_async(
        WITHIN,
        "the first chunks to be stored",
        tokio::time::sleep,
        || async { (bench.messages() > before).then_some(()) },
    );
    tokio::select! {
        stored = put => panic!("it was stored before anybody could look: {stored:?}"),
        () = begun => {}
    }
    // It may still come to be, for all we know.
    bench.store.sweep(bench.fence).now_or_never();
    let fence = bench.store.move_fence(Epoch::new(2), &node("a")).await.unwrap();
    ccm_harness::wait::until_async(WITHIN, "its chunks to go", tokio::time::sleep, || async {
        let removed = bench.store.sweep(fence).await.unwrap();
        (removed == 0).then_some(())
    })
    .await;
    assert_eq!(bench.messages(), before + 1, "the proof of the fence");
    let again = tokio::time::timeout(
        Duration::from_secs(60),
        bench.store.put(fence, name(1, 1, 9), 1_000, body()),
    );
    again.await.unwrap().unwrap();
}
