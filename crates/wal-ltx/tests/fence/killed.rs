//! The server that leads the bucket is killed under uploads, large and small.

use std::collections::BTreeMap;

use ccm_types::Epoch;
use ccm_wal_ltx::store::LtxStore as _;

use crate::bench::{
    CHUNK, Servers, Task, TwoParts, check, content, l0, node, put, put_at_last, uploaded,
};

async fn in_the_middle_of_an_upload(mut servers: Servers) {
    let store = servers.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let small = content(1, 300);
    put(&store, fence, 1, small.clone()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let body = content(2, 100 * CHUNK + 7);
    let parts = TwoParts::new(dir.path(), body.clone(), 20 * CHUNK);
    let before = servers.chunks();
    let upload = {
        let (store, body) = (store.clone(), parts.body());
        Task::new(async move { store.put(fence, l0(2), 1_000, body).await })
    };
    uploaded(&servers, &before, 20).await;
    servers.kill_leader();
    tokio::task::spawn_blocking(|| parts.go_on()).await.unwrap();
    // It may get through; the chunks that are missing then must not make an object.
    if let Err(error) = upload.end().await {
        assert!(error.is_transient(), "{error}");
    }
    put_at_last(&store, fence, 2, &body).await;
    servers.heal();
    let other = servers.open().await;
    assert_eq!(other.list().await.unwrap().len(), 2);
    let all = BTreeMap::from([(1, small), (2, body)]);
    check(&servers, &store, fence, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_the_middle_is_no_object_and_is_made_again_on_one_server() {
    in_the_middle_of_an_upload(Servers::one()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_the_middle_is_no_object_and_is_made_again_on_three_servers() {
    in_the_middle_of_an_upload(Servers::three()).await;
}

async fn under_small_files(mut servers: Servers) {
    let store = servers.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let (told, mut progress) = tokio::sync::watch::channel(0);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writing = Task::new({
        let store = store.clone();
        async move {
            let mut acknowledged = BTreeMap::new();
            let mut txid = 0;
            while !*stopped.borrow() {
                txid += 1;
                let body = content(txid, 400);
                put_at_last(&store, fence, txid, &body).await;
                acknowledged.insert(txid, body);
                told.send_replace(txid);
            }
            acknowledged
        }
    });
    for _ in 0..2 {
        let before = *progress.borrow();
        progress.wait_for(|txid| *txid > before + 200).await.unwrap();
        servers.kill_leader();
        let before = *progress.borrow();
        progress.wait_for(|txid| *txid > before + 200).await.unwrap();
        servers.heal();
    }
    stop.send_replace(true);
    let acknowledged = writing.end().await;
    let names: Vec<_> = store.list().await.unwrap().iter().map(|file| file.name).collect();
    let expected: Vec<_> = acknowledged.keys().map(|txid| l0(*txid)).collect();
    assert_eq!(names, expected);
    // An outcome that is not known to this term is known to the next one.
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    check(&servers, &store, fence, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_that_were_acknowledged_are_there_on_one_server() {
    under_small_files(Servers::one()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_that_were_acknowledged_are_there_on_three_servers() {
    under_small_files(Servers::three()).await;
}
