//! The fence moves while an upload of many chunks is in the middle.

use std::collections::BTreeMap;

use ccm_types::Epoch;
use ccm_wal_ltx::store::LtxStore as _;

use crate::bench::{CHUNK, Servers, Task, TwoParts, check, content, l0, node, put, uploaded};

async fn in_the_middle(servers: Servers) {
    let (old, new) = (servers.open().await, servers.open().await);
    let first = old.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let body = content(1, 40 * CHUNK + 7);
    let parts = TwoParts::new(dir.path(), body.clone(), 20 * CHUNK);
    let before = servers.chunks();
    let upload = {
        let (old, body) = (old.clone(), parts.body());
        Task::new(async move { old.put(first, l0(1), 1_000, body).await })
    };
    uploaded(&servers, &before, 20).await;
    let second = new.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    assert_eq!(new.list().await.unwrap(), [], "no part of an object is listed");
    // Its chunks are of an earlier term: the new primary may remove them at once.
    assert_eq!(new.sweep(second).await.unwrap(), 1);
    tokio::task::spawn_blocking(|| parts.go_on()).await.unwrap();
    assert!(upload.end().await.unwrap_err().is_fenced());
    assert_eq!(new.list().await.unwrap(), []);
    put(&new, second, 1, body.clone()).await.unwrap();
    check(&servers, &new, second, &BTreeMap::from([(1, body)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_object_and_leaves_nothing_on_one_server() {
    in_the_middle(Servers::one()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_object_and_leaves_nothing_on_three_servers() {
    in_the_middle(Servers::three()).await;
}

/// The old primary is gone for good: nobody purges what it has sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_primary_sweeps_what_a_dead_one_has_sent() {
    let servers = Servers::three();
    let (old, new) = (servers.open().await, servers.open().await);
    let first = old.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let parts = TwoParts::new(dir.path(), content(1, 40 * CHUNK), 20 * CHUNK);
    let before = servers.chunks();
    let upload = Task::new({
        let body = parts.body();
        async move { old.put(first, l0(1), 1_000, body).await }
    });
    uploaded(&servers, &before, 20).await;
    upload.abort().await;
    tokio::task::spawn_blocking(|| parts.go_on()).await.unwrap();
    assert!(!servers.chunks().is_empty());
    let second = new.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    check(&servers, &new, second, &BTreeMap::new()).await;
}
