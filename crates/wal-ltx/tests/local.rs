//! The files of a node: what is refused, what is converted, who owns what.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ccm_types::{Epoch, Position, Txid};
use ccm_wal_ltx::local::{DataFile, Local, LocalError, Paths};
use ccm_wal_ltx::plan::Verdict;
use rusqlite::Connection;
use tempfile::TempDir;

fn paths(dir: &Path) -> Paths {
    Paths { data: dir.join("data.db"), replica: dir.join("replica.db"), owner: None }
}

fn node() -> (TempDir, Local) {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(paths(dir.path())).unwrap();
    (dir, local)
}

fn database(path: &Path, mode: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", mode).unwrap();
    connection.execute_batch("create table t(x); insert into t values (1);").unwrap();
    connection
}

fn count(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("select count(*) from t", [], |row| row.get(0)).unwrap()
}

fn wal_mode(local: &Local) -> bool {
    matches!(local.data().unwrap(), DataFile::Database { wal_mode: true, .. })
}

#[test]
fn paths_that_cannot_work_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), b"").unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    let open = |data: PathBuf, replica: PathBuf| {
        Local::open(Paths { data, replica, owner: None }).unwrap_err().to_string()
    };
    let refused = [
        (open(at("missing/data.db"), at("replica.db")), "does not exist"),
        (open(at("data.db"), at("missing/replica.db")), "does not exist"),
        (open(at("file/data.db"), at("replica.db")), "file"),
        (open(at("same.db"), at("same.db")), "must be two files"),
        (open(at("loop"), at("replica.db")), "leads nowhere"),
        (open(PathBuf::from("/proc/data.db"), at("replica.db")), "/proc"),
        (open(PathBuf::from("/"), at("replica.db")), "names no file"),
    ];
    for (message, expected) in refused {
        assert!(message.contains(expected), "{message}: {expected}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing was made");
}

#[test]
fn one_process_works_on_the_files_at_a_time() {
    let (dir, local) = node();
    let error = Local::open(paths(dir.path())).unwrap_err();
    assert!(matches!(error, LocalError::InUse { .. }), "{error}");
    drop(local);
    Local::open(paths(dir.path())).unwrap();
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let (dir, local) = node();
    let data = dir.path().join("data.db");
    assert_eq!(local.data().unwrap(), DataFile::Missing);
    std::fs::write(&data, b"").unwrap();
    assert_eq!(local.data().unwrap(), DataFile::Missing);
    for content in [&b"short"[..], &[7; 4096]] {
        std::fs::write(&data, content).unwrap();
        assert!(matches!(local.data(), Err(LocalError::NotSqlite { .. })));
        for verdict in [Verdict::Keep, Verdict::Swap, Verdict::Create] {
            assert!(local.place(verdict, Epoch::new(1)).is_err());
        }
        assert!(local.retire(Position::new(Epoch::new(1), Txid::new(1))).is_err());
        assert_eq!(std::fs::read(&data).unwrap(), content);
    }
    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    assert!(matches!(local.data(), Err(LocalError::BadPath { .. })));
}

#[test]
fn a_database_in_another_journal_mode_is_converted_when_nobody_uses_it() {
    let (dir, local) = node();
    let data = dir.path().join("data.db");
    let backend = database(&data, "delete");
    backend.execute_batch("begin immediate").unwrap();
    let error = local.place(Verdict::Keep, Epoch::new(1)).unwrap_err();
    assert!(matches!(error, LocalError::Busy { .. }) && error.is_transient(), "{error}");
    assert!(!wal_mode(&local));
    assert_eq!(local.summary().unwrap().stamp, None, "a refusal changes nothing");
    drop(backend);
    local.place(Verdict::Keep, Epoch::new(1)).unwrap();
    assert!(wal_mode(&local));
    assert_eq!(local.summary().unwrap().stamp, Some(Epoch::new(1)));
    assert_eq!(count(&data), 1);
    assert!(!dir.path().join("data.db-wal").exists());
}

#[test]
fn a_killed_transaction_is_rolled_back_before_the_conversion() {
    let (dir, local) = node();
    let elsewhere = tempfile::tempdir().unwrap();
    let live = elsewhere.path().join("live");
    let backend = database(&live, "delete");
    backend
        .execute_batch(
            "pragma cache_size = 1; begin; update t set x = 2;
             insert into t select randomblob(3000) from generate_series(1, 50);",
        )
        .or_else(|_| {
            backend.execute_batch(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50)
                 insert into t select randomblob(3000) from n;",
            )
        })
        .unwrap();
    for suffix in ["", "-journal"] {
        let from = elsewhere.path().join(format!("live{suffix}"));
        std::fs::copy(from, dir.path().join(format!("data.db{suffix}"))).unwrap();
    }
    local.place(Verdict::Keep, Epoch::new(1)).unwrap();
    assert!(wal_mode(&local));
    assert_eq!(count(&dir.path().join("data.db")), 1);
}

#[test]
fn nothing_is_retired_while_somebody_uses_it() {
    let (dir, local) = node();
    let data = dir.path().join("data.db");
    let backend = database(&data, "wal");
    backend.execute_batch("begin; select * from t;").unwrap();
    let at = Position::new(Epoch::new(1), Txid::new(5));
    let error = local.retire(at).unwrap_err();
    assert!(matches!(error, LocalError::Busy { .. }), "{error}");
    backend.execute_batch("commit").unwrap();
    drop(backend);
    local.retire(at).unwrap();
    assert_eq!(local.replica_position().unwrap(), Some(at));
    assert_eq!(local.data().unwrap(), DataFile::Missing);
}

#[test]
fn data_and_replica_change_places_and_keep_their_owner() {
    let (dir, local) = node();
    let data = dir.path().join("data.db");
    database(&data, "wal").close().unwrap();
    let root = rustix::process::getuid().is_root();
    if root {
        std::os::unix::fs::chown(&data, Some(1234), Some(2345)).unwrap();
    }
    let owner = |path: &Path| {
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
    };
    let before = owner(&data);
    local.place(Verdict::Keep, Epoch::new(1)).unwrap();
    let at = Position::new(Epoch::new(1), Txid::new(5));
    local.retire(at).unwrap();
    if root {
        std::os::unix::fs::chown(dir.path().join("replica.db"), Some(0), Some(0)).unwrap();
    }
    let placed = local.place(Verdict::Swap, Epoch::new(2)).unwrap();
    assert_eq!((placed.position, placed.set_aside), (Some(at), None));
    assert_eq!(owner(&data), before);
    assert_eq!(count(&data), 1);
    assert!(local.diverged().unwrap().is_empty());
}

#[test]
fn a_new_database_belongs_to_the_configured_owner_or_to_that_of_the_directory() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    for owner in [None, Some((77, 88))] {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(55), Some(66)).unwrap();
        let local = Local::open(Paths { owner, ..paths(dir.path()) }).unwrap();
        local.place(Verdict::Create, Epoch::new(1)).unwrap();
        let metadata = std::fs::metadata(dir.path().join("data.db")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), owner.unwrap_or((55, 66)));
        assert!(wal_mode(&local));
    }
}

#[test]
fn a_verdict_that_does_not_fit_the_files_is_refused() {
    let (dir, local) = node();
    let place = |verdict| local.place(verdict, Epoch::new(1));
    assert!(matches!(place(Verdict::Keep), Err(LocalError::NoData { .. })));
    assert!(matches!(place(Verdict::Swap), Err(LocalError::NoReplica { .. })));
    database(&dir.path().join("data.db"), "wal").close().unwrap();
    assert!(matches!(place(Verdict::Create), Err(LocalError::BadPath { .. })));
    assert!(matches!(place(Verdict::Swap), Err(LocalError::NoReplica { .. })));
    assert_eq!(count(&dir.path().join("data.db")), 1);
}

#[test]
fn files_set_aside_are_listed_with_their_positions_and_never_replaced() {
    let (dir, local) = node();
    let data = dir.path().join("data.db");
    for (n, txid) in [(1, None), (2, Some(Txid::new(7))), (3, Some(Txid::new(7)))] {
        database(&data, "wal").close().unwrap();
        local.place(Verdict::Keep, Epoch::new(3)).unwrap();
        let to = local.set_aside(txid).unwrap().unwrap();
        assert_eq!(count(&to), 1);
        assert_eq!(local.diverged().unwrap().len(), n);
    }
    assert_eq!(local.set_aside(None).unwrap(), None);
    let names: Vec<String> = local
        .diverged()
        .unwrap()
        .iter()
        .map(|d| d.path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        names,
        ["data.db.diverged-e3-t7-1", "data.db.diverged-e3-t7-2", "data.db.diverged-e3-tunknown-1"]
    );
    assert!(local.diverged().unwrap().iter().all(|d| d.epoch == Epoch::new(3) && d.bytes > 4096));
}

#[test]
fn a_link_to_the_data_file_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    std::os::unix::fs::symlink("disk/real.db", dir.path().join("data.db")).unwrap();
    let local = Local::open(paths(dir.path())).unwrap();
    local.place(Verdict::Create, Epoch::new(1)).unwrap();
    assert!(disk.join("real.db").is_file());
    assert!(dir.path().join("data.db").is_symlink());
    local.retire(Position::new(Epoch::new(1), Txid::new(1))).unwrap();
    drop(local);
    let local = Local::open(paths(dir.path())).unwrap();
    local.place(Verdict::Swap, Epoch::new(2)).unwrap();
    assert!(disk.join("real.db").is_file());
}
