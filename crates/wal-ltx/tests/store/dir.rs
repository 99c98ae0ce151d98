//! The store in a folder: what crashes leave, who else is there, what is refused.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use ccm_harness::{bound, wait};
use ccm_types::Epoch;
use ccm_wal_ltx::store::{Body, DirStore, LtxStore, StoreError};

use crate::place::{Folder, Place, WITHIN, l0, large, name, node, put};

fn inside(folder: &Folder, path: &str) -> PathBuf {
    folder.0.path().join("bucket").join(path)
}

const ONE: &str = "ltx/0/0000000000000001-0000000000000001.ltx";

#[tokio::test]
async fn files_are_where_litestream_has_them() {
    let folder = Folder::make();
    let store = folder.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();
    store.put(fence, name(9, 1, 10), 0, Body::Bytes(Bytes::from_static(b"all"))).await.unwrap();
    assert_eq!(std::fs::read(inside(&folder, ONE)).unwrap(), b"one");
    let snapshot = "ltx/9/0000000000000001-000000000000000a.ltx";
    assert_eq!(std::fs::read(inside(&folder, snapshot)).unwrap(), b"all");
}

#[tokio::test]
async fn what_a_writer_that_was_killed_has_left_is_no_object_and_is_swept() {
    let folder = Folder::make();
    let store = folder.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&store, fence, 1, b"one").await.unwrap();
    // Killed before the rename, and between what is said of the object and the rename.
    let two = "ltx/0/0000000000000002-0000000000000002.ltx";
    let id = nuid::next();
    std::fs::write(inside(&folder, &format!("{two}.{id}.tmp")), b"tw").unwrap();
    std::os::unix::fs::symlink("9", inside(&folder, &format!("{two}.epoch"))).unwrap();
    // Of somebody else.
    std::fs::write(inside(&folder, &format!("{two}.tmp")), b"litestream's").unwrap();
    assert_eq!(store.list().await.unwrap().len(), 1);
    let again = folder.open().await;
    assert_eq!(again.sweep(fence).await.unwrap(), 2);
    assert_eq!(again.sweep(fence).await.unwrap(), 0);
    assert!(inside(&folder, &format!("{two}.tmp")).exists());
    put(&again, fence, 2, b"two").await.unwrap();
    assert_eq!(again.list().await.unwrap()[1].epoch, Some(Epoch::new(1)));
}

#[tokio::test]
async fn a_file_of_a_stock_litestream_has_no_epoch() {
    let folder = Folder::make();
    let store = folder.open().await;
    std::fs::create_dir_all(inside(&folder, "ltx/0")).unwrap();
    std::fs::write(inside(&folder, ONE), b"one").unwrap();
    let files = store.list().await.unwrap();
    assert_eq!((files[0].name, files[0].epoch), (l0(1), None));
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    assert!(put(&store, fence, 1, b"one").await.unwrap_err().is_conflict());
}

#[tokio::test]
async fn who_cannot_get_the_lock_says_so_and_writes_nothing() {
    let folder = Folder::make();
    let store = folder.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let held = File::open(inside(&folder, "ccm-lock")).unwrap();
    held.lock().unwrap();
    let other = node("b");
    let (moved, stored) =
        tokio::join!(store.move_fence(Epoch::new(2), &other), put(&store, fence, 1, b"one"),);
    for error in [moved.unwrap_err(), stored.unwrap_err()] {
        assert!(error.is_transient() && !error.is_ambiguous(), "{error}");
        assert!(error.to_string().contains("ccm-lock"), "{error}");
    }
    assert_eq!(store.list().await.unwrap(), []);
    drop(held);
    put(&store, fence, 1, b"one").await.unwrap();
    assert_eq!(store.sweep(fence).await.unwrap(), 0);
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("photo.jpg"), b"x").unwrap();
    let error = DirStore::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignBucket { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = DirStore::open(dir.path().join("photo.jpg")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_fence_that_cannot_be_read_lets_nobody_write() {
    let folder = Folder::make();
    let store = folder.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    std::fs::write(inside(&folder, "ccm-fence"), b"{").unwrap();
    let error = put(&store, fence, 1, b"one").await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignBucket { .. }), "{error}");
    let error = store.move_fence(Epoch::new(2), &node("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignBucket { .. }), "{error}");
}

/// Where the process that is killed writes.
const WRITER: &str = "CCM_TEST_DIR_STORE";

/// The content of transaction `txid`: up to some hundred kilobytes.
fn content(txid: u64) -> Vec<u8> {
    let len = u32::try_from(txid * 7919 % 400_000).unwrap();
    let mut content = large(len);
    content.extend(txid.to_be_bytes());
    content
}

fn lines(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    // The last line may be torn.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.strip_prefix("stored ")?.parse().ok()).collect()
}

#[tokio::test]
#[ignore = "the process that another test kills"]
async fn writer() {
    let store = DirStore::open(std::env::var(WRITER).unwrap()).await.unwrap();
    let before = store.fence().await.unwrap().map_or(Epoch::NONE, |fence| fence.epoch);
    let fence = store.move_fence(before.next(), &node("w")).await.unwrap();
    for txid in store.tip().await.unwrap().get() + 1.. {
        put(&store, fence, txid, &content(txid)).await.unwrap();
        println!("stored {txid}");
        if txid % 3 == 0 {
            store.delete(fence, l0(txid)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_writer_that_is_killed_at_any_moment_leaves_whole_objects_and_loses_none() {
    let folder = Folder::make();
    let bucket = folder.0.path().join("bucket");
    let said = folder.0.path().join("said");
    for round in 1..=10 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["dir::writer", "--exact", "--ignored", "--nocapture"]);
        command.env(WRITER, &bucket);
        let out = File::create(&said).unwrap();
        let mut writer = bound(&command).stdout(out).spawn().unwrap();
        wait::until(WITHIN, "the writer to write", || (lines(&said).len() > 20).then_some(()));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let stored = lines(&said);
        let store = DirStore::open(&bucket).await.unwrap();
        let files = store.list().await.unwrap();
        for file in &files {
            let txid = file.name.max.get();
            assert!(store.get(file.name).await.unwrap().as_ref() == content(txid), "{txid}");
            assert!(file.epoch.is_some_and(|epoch| epoch <= Epoch::new(round)));
        }
        for txid in stored.into_iter().filter(|txid| txid % 3 != 0) {
            assert!(files.iter().any(|file| file.name == l0(txid)), "{txid} was lost");
        }
        let fence = store.move_fence(Epoch::new(round), &node("w")).await.unwrap();
        store.sweep(fence).await.unwrap();
        assert_eq!(store.list().await.unwrap(), files);
        let level = std::fs::read_dir(bucket.join("ltx/0")).unwrap().count();
        assert_eq!(level, 2 * files.len(), "every object and what is said of it, nothing else");
    }
}
