//! Every operation that renames, interrupted after each of its steps, and by a power loss at
//! every moment.

use std::path::Path;

use ccm_types::{Epoch, Position, Txid};
use rusqlite::Connection;
use tempfile::TempDir;

use super::moves::crash::stop_after;
use super::power_loss::{Left, Random};
use super::trace::Mode;
use super::*;
use crate::plan::Verdict;

/// States that a power loss at one moment is tried to leave.
const STATES: u64 = 6;

/// More steps than any list has.
const STEPS_MAX: usize = 40;

/// A database with one row, in WAL mode.
fn database(path: &Path, row: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("pragma journal_mode = wal; create table t(x);").unwrap();
    connection.execute("insert into t values (?1)", [row]).unwrap();
    connection.close().unwrap();
}

/// A database whose last row is only in its `-wal`, as a killed backend leaves it.
fn killed(path: &Path, row: &str) {
    let elsewhere = tempfile::tempdir().unwrap();
    let live = elsewhere.path().join("live");
    database(&live, "old");
    let connection = Connection::open(&live).unwrap();
    connection.execute("insert into t values (?1)", [row]).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(disk::with_suffix(&live, suffix), disk::with_suffix(path, suffix)).unwrap();
    }
}

fn rows(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut select = connection.prepare("select x from t order by rowid").unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { dir: power_loss::directory() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self) -> Local {
        let paths =
            Paths { data: self.path("data.db"), replica: self.path("replica.db"), owner: None };
        Local::open(paths).unwrap()
    }

    /// A replica with the row "new", at transaction 9 of epoch 3.
    fn replica(&self) {
        database(&self.path("replica.db"), "new");
        fs::write(self.path("replica.db-shm"), b"left").unwrap();
        let pages = fs::metadata(self.path("replica.db")).unwrap().len() / 4096;
        let record = PositionRecord {
            epoch: Epoch::new(3),
            txid: Txid::new(9),
            page_size: 4096,
            pages: u32::try_from(pages).unwrap(),
            timestamp_ms: None,
        };
        write_record(&self.path("replica.db-ccm/position.json"), &record).unwrap();
    }

    fn stamp(&self, epoch: u64, clean_txid: Option<u64>) {
        let stamp = Stamp { epoch: Epoch::new(epoch), clean_txid: clean_txid.map(Txid::new) };
        write_record(&self.path("replica.db-ccm/stamp.json"), &stamp).unwrap();
    }

    /// What must hold whatever has been interrupted.
    fn check_interrupted(&self) {
        let exists = |name: &str| self.path(name).exists();
        let aside = "data.db.diverged-e2-tunknown-1";
        if exists(aside) && exists("data.db-wal") {
            assert!(!exists("data.db"), "an old WAL lies beside another database");
        }
        if exists("data.db") && exists("replica.db-ccm/position.json") {
            assert!(exists("replica.db"), "the record describes the data file");
        }
    }
}

/// Runs `act` with a power loss at every moment and another one while the files are opened again,
/// repeats it, and lets `check` look.
fn at_every_power_loss(
    prepare: impl Fn(&Node),
    act: impl Fn(&Local) -> Result<(), LocalError>,
    check: impl Fn(&Node, &Local),
) {
    let node = Node::new();
    drop(node.open());
    prepare(&node);
    let local = node.open();
    trace::start(node.dir.path(), Mode::WithSqlite);
    act(&local).unwrap();
    let traced = trace::stop();
    drop(local);
    let mut random = Random::new(traced.moments() as u64);
    for moment in 0..traced.moments() {
        for n in 0..STATES {
            let left = match n {
                0 => Left::All,
                1 => Left::None,
                n => Left::Some(Random::new(moment as u64 * STATES + n)),
            };
            println!("moment {moment}: {left:?}");
            traced.lose_power(moment, left);
            node.check_interrupted();
            trace::start(node.dir.path(), Mode::Own);
            drop(node.open());
            let opened = trace::stop();
            let again = usize::try_from(random.below(opened.moments() as u64)).unwrap();
            println!("then moment {again}: {random:?}");
            opened.lose_power(again, Left::Some(random.clone()));
            node.check_interrupted();
            trace::start(node.dir.path(), Mode::Quiet);
            let local = node.open();
            // It has nothing left to do when it was complete.
            act(&local).ok();
            check(&node, &local);
            trace::stop();
        }
    }
}

/// Runs `act` interrupted after every number of steps, reopens, and lets `check` look; returns
/// how many steps there were.
fn at_every_step(
    prepare: impl Fn(&Node),
    act: impl Fn(&Local) -> Result<(), LocalError>,
    check: impl Fn(&Node, &Local),
) -> usize {
    at_every_power_loss(&prepare, &act, &check);
    for steps in 0..STEPS_MAX {
        let node = Node::new();
        drop(node.open());
        prepare(&node);
        let local = node.open();
        stop_after(Some(steps));
        let acted = act(&local);
        stop_after(None);
        drop(local);
        node.check_interrupted();
        let local = node.open();
        assert!(!node.path("replica.db-ccm/moves.json").exists());
        check(&node, &local);
        if acted.is_ok() {
            return steps;
        }
    }
    panic!("more than {STEPS_MAX} steps");
}

#[test]
fn a_swap_interrupted_anywhere_sets_the_old_data_aside_with_its_wal() {
    let steps = at_every_step(
        |node| {
            killed(&node.path("data.db"), "unshipped");
            node.stamp(2, None);
            node.replica();
        },
        |local| local.place(Verdict::Swap, Epoch::new(4)).map(|_| ()),
        |node, local| {
            let placed = local.place(Verdict::Swap, Epoch::new(4)).unwrap();
            assert_eq!(placed.set_aside, None, "it was complete after the replay");
            assert_eq!(placed.position.unwrap().txid, Txid::new(9), "nobody has written yet");
            let stamp = Some(Stamp { epoch: Epoch::new(4), clean_txid: Some(Txid::new(9)) });
            let expected = DataFile::Database { page_size: 4096, wal_mode: true, stamp };
            assert_eq!(local.data().unwrap(), expected);
            assert_eq!(local.replica_position().unwrap(), None);
            let diverged = local.diverged().unwrap();
            assert_eq!(diverged.len(), 1);
            assert_eq!((diverged[0].epoch, diverged[0].txid), (Epoch::new(2), None));
            for leftover in ["data.db-wal", "data.db-shm", "replica.db", "replica.db-shm"] {
                assert!(!node.path(leftover).exists(), "{leftover}");
            }
            assert_eq!(rows(&diverged[0].path), ["old", "unshipped"]);
            assert_eq!(rows(&node.path("data.db")), ["new"]);
        },
    );
    assert!(steps > 10, "{steps}");
}

#[test]
fn data_that_is_opened_for_writes_is_clean_no_more() {
    let node = Node::new();
    drop(node.open());
    node.replica();
    let local = node.open();
    local.place(Verdict::Swap, Epoch::new(4)).unwrap();
    local.open_for_writes(Epoch::new(4)).unwrap();
    let DataFile::Database { stamp: Some(stamp), .. } = local.data().unwrap() else {
        panic!("the data file is there and stamped");
    };
    assert_eq!((stamp.epoch, stamp.clean_txid), (Epoch::new(4), None));
    assert_eq!(local.highest_epoch().unwrap(), Epoch::new(4));
}

#[test]
fn a_replica_set_aside_anywhere_keeps_its_content_under_its_position() {
    at_every_step(
        |node| node.replica(),
        |local| local.set_replica_aside().map(|_| ()),
        |node, local| {
            assert_eq!(local.set_replica_aside().unwrap(), None, "there is none any more");
            assert!(!node.path("replica.db").exists());
            let diverged = local.diverged().unwrap();
            assert_eq!(diverged.len(), 1);
            let at = (diverged[0].epoch, diverged[0].txid);
            assert_eq!(at, (Epoch::new(3), Some(Txid::new(9))));
            assert_eq!(rows(&diverged[0].path), ["new"]);
        },
    );
}

#[test]
fn a_swap_over_clean_data_interrupted_anywhere_keeps_no_copy() {
    at_every_step(
        |node| {
            killed(&node.path("data.db"), "shipped");
            node.stamp(2, Some(9));
            node.replica();
        },
        |local| local.place(Verdict::Swap, Epoch::new(4)).map(|_| ()),
        |node, local| {
            assert!(local.diverged().unwrap().is_empty());
            assert!(!node.path("data.db-wal").exists());
            assert_eq!(rows(&node.path("data.db")), ["new"]);
        },
    );
}

#[test]
fn data_that_is_clean_beyond_the_replica_is_set_aside() {
    let node = Node::new();
    drop(node.open());
    killed(&node.path("data.db"), "later");
    node.stamp(2, Some(10));
    node.replica();
    let local = node.open();
    let placed = local.place(Verdict::Swap, Epoch::new(4)).unwrap();
    let aside = placed.set_aside.unwrap();
    assert!(aside.ends_with("data.db.diverged-e2-t10-1"), "{}", aside.display());
    assert_eq!(rows(&aside), ["old", "later"]);
}

#[test]
fn a_retirement_interrupted_anywhere_ends_with_a_replica_at_its_position() {
    let at = Position::new(Epoch::new(2), Txid::new(7));
    at_every_step(
        |node| {
            killed(&node.path("data.db"), "shipped");
            node.stamp(2, None);
            node.replica();
        },
        |local| local.retire(at),
        |node, local| {
            assert_eq!(local.data().unwrap(), DataFile::Missing);
            assert_eq!(local.replica_position().unwrap(), Some(at));
            for leftover in ["data.db-wal", "data.db-shm", "replica.db-shm"] {
                assert!(!node.path(leftover).exists(), "{leftover}");
            }
            assert!(!node.path("replica.db-ccm/stamp.json").exists());
            assert_eq!(rows(&node.path("replica.db")), ["old", "shipped"]);
        },
    );
}

#[test]
fn a_setting_aside_interrupted_anywhere_keeps_database_and_wal_together() {
    at_every_step(
        |node| {
            killed(&node.path("data.db"), "unshipped");
            node.stamp(2, None);
        },
        |local| local.set_aside(None).map(|_| ()),
        |node, local| {
            assert_eq!(local.data().unwrap(), DataFile::Missing);
            assert_eq!(local.diverged().unwrap().len(), 1);
            let aside = node.path("data.db.diverged-e2-tunknown-1");
            assert_eq!(rows(&aside), ["old", "unshipped"]);
        },
    );
}

#[test]
fn a_creation_interrupted_anywhere_ends_with_an_empty_database() {
    at_every_step(
        |node| fs::write(node.path("data.db-wal"), b"of a database long gone").unwrap(),
        |local| local.place(Verdict::Create, Epoch::new(1)).map(|_| ()),
        |node, local| {
            let stamp = Some(Stamp { epoch: Epoch::new(1), clean_txid: None });
            let expected = DataFile::Database { page_size: 4096, wal_mode: true, stamp };
            assert_eq!(local.data().unwrap(), expected);
            assert!(!node.path("data.db-wal").exists());
            let kept = node.path("data.db.diverged-e0-tunknown-1-wal");
            assert_eq!(fs::read(kept).unwrap(), b"of a database long gone");
        },
    );
}

#[test]
fn a_rebuild_interrupted_anywhere_replaces_replica_and_record_together() {
    let record = PositionRecord {
        epoch: Epoch::new(5),
        txid: Txid::new(20),
        page_size: 4096,
        pages: 2,
        timestamp_ms: None,
    };
    let half_applied =
        Intent { from: Position::new(Epoch::new(3), Txid::new(9)), to: Txid::new(30) };
    at_every_step(
        |node| {
            node.replica();
            write_record(&node.path("replica.db-ccm/intent.json"), &half_applied).unwrap();
        },
        |local| {
            database(&local.record("rebuild"), "rebuilt");
            local.install_rebuild(&record)
        },
        |node, local| {
            assert_eq!(local.replica_position().unwrap(), Some(record.position()));
            assert_eq!(rows(&node.path("replica.db")), ["rebuilt"]);
        },
    );
}

#[test]
fn an_interrupted_checkpoint_leaves_clean_data_that_is_retired_again() {
    let node = Node::new();
    drop(node.open());
    killed(&node.path("data.db"), "shipped");
    node.stamp(2, Some(7));
    let local = node.open();
    let at = Position::new(Epoch::new(2), Txid::new(7));
    local.retire(at).unwrap();
    assert_eq!(local.replica_position().unwrap(), Some(at));
}

#[test]
fn the_later_end_of_two_announcements_counts_whatever_became_of_the_other() {
    let node = Node::new();
    let local = node.open();
    let path = local.record("intent.json");
    assert_eq!(intent::read(&path).unwrap(), None);
    let from = Position::new(Epoch::new(3), Txid::new(9));
    let intent = |to| Intent { from, to: Txid::new(to) };
    let mut intents = intent::Intents::begin(&path, intent(10)).unwrap();
    for to in 10..20 {
        assert_eq!(intent::read(&path).unwrap(), Some(Txid::new(to)));
        let before = fs::read(&path).unwrap();
        intents.announce(&path, intent(to + 1)).unwrap();
        let after = fs::read(&path).unwrap();
        for torn in 0..=after.len() {
            let mixed = [&after[..torn], &before[torn..]].concat();
            fs::write(&path, mixed).unwrap();
            assert!(intent::read(&path).unwrap() >= Some(Txid::new(to)), "{to} torn at {torn}");
        }
    }
    fs::write(&path, b"").unwrap();
    assert!(matches!(intent::read(&path), Err(LocalError::Record { .. })));
}

#[test]
fn a_replica_that_is_ahead_is_seen_by_others_while_it_is_held_and_later_if_it_is_durable() {
    let node = Node::new();
    drop(node.open());
    node.replica();
    let local = node.open();
    let Replica::At(before) = local.replica().unwrap() else { panic!("it is not there") };
    let after = PositionRecord { txid: Txid::new(12), ..before };
    let apply = |local: &Local| {
        let _turn = local.turn();
        let writing = local.announce(before.position(), after.txid).unwrap();
        let torn = Replica::Torn { from: before, to: after.txid };
        assert_eq!(local.replica().unwrap(), torn);
        assert_eq!(peek(&node.path("replica.db")).unwrap(), torn);
        local.applied(writing, after).unwrap();
    };
    apply(&local);
    assert_eq!(local.replica().unwrap(), Replica::At(after));
    assert_eq!(peek(&node.path("replica.db")).unwrap(), Replica::At(after));

    // Nobody holds the files: what was not made durable is not believed.
    drop(local);
    let torn = Replica::Torn { from: before, to: after.txid };
    assert_eq!(peek(&node.path("replica.db")).unwrap(), torn);
    let local = node.open();
    assert_eq!(local.replica().unwrap(), torn);

    apply(&local);
    local.flush().unwrap();
    assert_eq!(local.unflushed_since(), None);
    drop(local);
    let local = node.open();
    assert_eq!(local.replica().unwrap(), Replica::At(after));
    let placed = local.place(Verdict::Swap, Epoch::new(4)).unwrap();
    assert_eq!(placed.position, Some(after.position()));
}
