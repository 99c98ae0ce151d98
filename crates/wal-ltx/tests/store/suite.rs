//! What every store promises.

use std::time::Duration;

use bytes::Bytes;
use ccm_harness::NatsServer;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::store::{Body, FenceRecord, LtxInfo, LtxName, LtxStore, MemStore, StoreError};
use sha2::{Digest as _, Sha256};

use crate::place::{Folder, Place, WITHIN, l0, large, name, node, put};

/// Every test of the suite for one kind of place.
macro_rules! suite {
    ($kind:ident, $place:ty, [$($test:ident),* $(,)?]) => {
        mod $kind {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(<$place>::make()).await;
                }
            )*
        }
    };
}

macro_rules! suites {
    ($($test:ident),* $(,)?) => {
        suite!(in_memory, MemStore, [$($test),*]);
        suite!(in_a_folder, Folder, [$($test),*]);
        suite!(on_a_server, NatsServer, [$($test),*]);
    };
}

suites![
    an_old_epoch_cannot_write_after_the_fence_has_moved,
    the_fence_never_goes_back_and_one_node_may_move_it_again,
    without_a_fence_nothing_can_be_written,
    a_name_is_never_written_twice_and_the_same_content_is_no_conflict,
    the_same_content_of_another_epoch_is_a_conflict,
    a_large_object_comes_out_as_it_went_in,
    a_file_goes_in_as_it_is,
    a_large_object_is_read_in_pieces,
    files_are_listed_in_order_with_what_is_known_of_them,
    what_is_not_there_is_not_found,
    a_change_is_told_to_everyone_once,
    nothing_is_left_over,
    one_of_two_that_take_over_at_once_writes,
];

async fn names<S: LtxStore>(store: &S) -> Vec<LtxName> {
    store.list().await.unwrap().iter().map(|info| info.name).collect()
}

async fn an_old_epoch_cannot_write_after_the_fence_has_moved<P: Place>(place: P) {
    let (old, new) = (place.open().await, place.open().await);
    assert_eq!(old.fence().await.unwrap(), None);
    let first = old.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&old, first, 1, b"one").await.unwrap();
    let second = new.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    let record = FenceRecord { epoch: Epoch::new(2), node: node("b") };
    assert_eq!(old.fence().await.unwrap(), Some(record));
    assert!(put(&old, first, 2, b"late").await.unwrap_err().is_fenced());
    assert!(old.delete(first, l0(1)).await.unwrap_err().is_fenced());
    put(&new, second, 2, b"two").await.unwrap();
    assert!(put(&old, first, 2, b"late").await.unwrap_err().is_fenced());
    assert_eq!(names(&new).await, [l0(1), l0(2)]);
    assert_eq!(new.get(l0(2)).await.unwrap().as_ref(), b"two");
    let epochs: Vec<_> = old.list().await.unwrap().iter().map(|info| info.epoch).collect();
    assert_eq!(epochs, [Some(Epoch::new(1)), Some(Epoch::new(2))]);
}

async fn the_fence_never_goes_back_and_one_node_may_move_it_again<P: Place>(place: P) {
    let store = place.open().await;
    let five = store.move_fence(Epoch::new(5), &node("a")).await.unwrap();
    assert_ne!(five.token, 0);
    assert!(store.move_fence(Epoch::new(4), &node("b")).await.unwrap_err().is_fenced());
    assert!(store.move_fence(Epoch::new(4), &node("a")).await.unwrap_err().is_fenced());
    assert!(store.move_fence(Epoch::new(5), &node("b")).await.unwrap_err().is_fenced());
    let again = store.move_fence(Epoch::new(5), &node("a")).await.unwrap();
    assert!(again.token > five.token);
    assert!(put(&store, five, 1, b"x").await.unwrap_err().is_fenced());
    put(&store, again, 1, b"x").await.unwrap();
}

async fn without_a_fence_nothing_can_be_written<P: Place>(place: P) {
    let store = place.open().await;
    let never = ccm_wal_ltx::store::Fence { epoch: Epoch::new(1), token: 0 };
    assert!(put(&store, never, 1, b"x").await.unwrap_err().is_fenced());
    let guessed = ccm_wal_ltx::store::Fence { epoch: Epoch::new(1), token: 1 };
    assert!(put(&store, guessed, 1, b"x").await.unwrap_err().is_fenced());
    assert_eq!(names(&store).await, []);
}

async fn a_name_is_never_written_twice_and_the_same_content_is_no_conflict<P: Place>(place: P) {
    let store = place.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();
    assert!(put(&store, fence, 1, b"other").await.unwrap_err().is_conflict());
    assert!(put(&store, fence, 1, b"six").await.unwrap_err().is_conflict());
    assert_eq!(store.get(l0(1)).await.unwrap().as_ref(), b"one");
    store.delete(fence, l0(1)).await.unwrap();
    store.delete(fence, l0(1)).await.unwrap();
    assert_eq!(names(&store).await, []);
    put(&store, fence, 1, b"other").await.unwrap();
    assert_eq!(store.get(l0(1)).await.unwrap().as_ref(), b"other");
}

async fn the_same_content_of_another_epoch_is_a_conflict<P: Place>(place: P) {
    let store = place.open().await;
    let first = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, first, 1, b"one").await.unwrap();
    let second = store.move_fence(Epoch::new(2), &node("a")).await.unwrap();
    assert!(put(&store, second, 1, b"one").await.unwrap_err().is_conflict());
}

async fn a_large_object_comes_out_as_it_went_in<P: Place>(place: P) {
    let store = place.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let body = large(3_000_000);
    put(&store, fence, 1, &body).await.unwrap();
    assert_eq!(place.open().await.get(l0(1)).await.unwrap().as_ref(), body);
    let dir = tempfile::tempdir().unwrap();
    store.get_to_file(l0(1), &dir.path().join("x")).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("x")).unwrap(), body);
}

async fn a_file_goes_in_as_it_is<P: Place>(place: P) {
    let store = place.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (path, body) = (dir.path().join("x"), large(700_001));
    std::fs::write(&path, &body).unwrap();
    for _ in 0..2 {
        store.put(fence, l0(1), 1_000, Body::File(path.clone())).await.unwrap();
    }
    assert_eq!(store.get(l0(1)).await.unwrap().as_ref(), body);
    assert_eq!(std::fs::read(&path).unwrap(), body);
    std::fs::remove_file(&path).unwrap();
    let missing = store.put(fence, l0(2), 1_000, Body::File(path.clone())).await.unwrap_err();
    assert!(matches!(&missing, StoreError::File { path: at, .. } if *at == path), "{missing}");
    assert_eq!(names(&store).await, [l0(1)]);
}

async fn a_large_object_is_read_in_pieces<P: Place>(place: P) {
    let store = place.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let body = large(20_000_001);
    put(&store, fence, 1, &body).await.unwrap();
    let (mut content, mut mark, mut pieces) = (Vec::new(), None, 0);
    let digest = loop {
        // Another process goes on where this one was.
        let piece = place.open().await.piece(l0(1), mark.as_ref()).await.unwrap();
        assert_eq!(piece.offset, content.len() as u64);
        content.extend(piece.chunks.concat());
        assert_eq!(piece.next.offset(), content.len() as u64);
        mark = Some(piece.next);
        pieces += 1;
        if let Some(digest) = piece.last {
            break digest;
        }
    };
    assert!(content == body && pieces > 1, "{pieces} pieces");
    let text = |hash| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, hash);
    assert_eq!(digest, format!("SHA-256={}", text(Sha256::digest(&body))));

    // A mark of other content leads to the beginning.
    store.delete(fence, l0(1)).await.unwrap();
    put(&store, fence, 1, b"another").await.unwrap();
    let piece = store.piece(l0(1), mark.as_ref()).await.unwrap();
    assert_eq!((piece.offset, piece.chunks.concat().as_slice()), (0, b"another".as_slice()));
    assert!(piece.last.is_some());
}

async fn files_are_listed_in_order_with_what_is_known_of_them<P: Place>(place: P) {
    let store = place.open().await;
    let fence = store.move_fence(Epoch::new(3), &node("a")).await.unwrap();
    let put = async |name: LtxName, timestamp_ms: i64| {
        let body = Body::Bytes(Bytes::from(vec![7; usize::try_from(name.max.get()).unwrap()]));
        store.put(fence, name, timestamp_ms, body).await.unwrap();
    };
    assert_eq!(store.tip().await.unwrap(), Txid::ZERO);
    put(name(9, 1, 20), 1_700_000_000_020).await;
    put(name(0, 20, 20), 1_700_000_000_123).await;
    put(name(1, 1, 19), 0).await;
    put(name(0, 3, 3), 1_700_000_000_999).await;
    let info = |name: LtxName, timestamp_ms| LtxInfo {
        name,
        size: name.max.get(),
        timestamp_ms,
        epoch: Some(Epoch::new(3)),
    };
    let expected = [
        info(name(0, 3, 3), 1_700_000_000_999),
        info(name(0, 20, 20), 1_700_000_000_123),
        info(name(1, 1, 19), 0),
        info(name(9, 1, 20), 1_700_000_000_020),
    ];
    assert_eq!(place.open().await.list().await.unwrap(), expected);
    assert_eq!(store.tip().await.unwrap(), Txid::new(20));
}

async fn what_is_not_there_is_not_found<P: Place>(place: P) {
    let store = place.open().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let errors = [
        store.get(l0(1)).await.unwrap_err(),
        store.get_to_file(l0(1), &path).await.unwrap_err(),
        store.piece(l0(1), None).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::NotFound { name } if name == l0(1)), "{error}");
    }
    assert!(!path.exists());
}

async fn a_change_is_told_to_everyone_once<P: Place>(place: P) {
    let (store, other) = (place.open().await, place.open().await);
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let watchers = [other.clone(), other];
    let long = Duration::from_secs(600);
    for watcher in &watchers {
        tokio::time::timeout(WITHIN, watcher.changed(long)).await.unwrap();
    }
    // Whatever was told for the past is over when a wait ends by its own limit.
    for watcher in &watchers {
        watcher.changed(Duration::from_millis(200)).await;
        watcher.changed(Duration::from_millis(200)).await;
    }
    for txid in 1..=3 {
        put(&store, fence, txid, b"x").await.unwrap();
        for watcher in &watchers {
            tokio::time::timeout(WITHIN, watcher.changed(long)).await.unwrap();
            assert_eq!(watcher.tip().await.unwrap(), Txid::new(txid));
        }
        for watcher in &watchers {
            watcher.changed(Duration::from_millis(200)).await;
        }
    }
}

async fn nothing_is_left_over<P: Place>(place: P) {
    let store = place.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    for txid in 1..=3 {
        put(&store, fence, txid, &large(300_000)).await.unwrap();
    }
    store.delete(fence, l0(2)).await.unwrap();
    assert_eq!(store.sweep(fence).await.unwrap(), 0);
    assert_eq!(names(&store).await, [l0(1), l0(3)]);
    assert_eq!(store.losses(), 0);
}

async fn one_of_two_that_take_over_at_once_writes<P: Place>(place: P) {
    for round in 0..10 {
        let epoch = Epoch::new(round + 1);
        let mut taking = tokio::task::JoinSet::new();
        for by in ["a", "b", "c"] {
            let store = place.open().await;
            taking.spawn(async move {
                let fence = store.move_fence(epoch, &node(by)).await.ok()?;
                store.put(fence, l0(round + 1), 1_000, Body::Bytes(by.into())).await.ok()
            });
        }
        let wrote = taking.join_all().await.into_iter().flatten().count();
        assert_eq!(wrote, 1, "round {round}");
    }
}
