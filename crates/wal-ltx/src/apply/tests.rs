//! A replica under power losses, kills and failing disks: a database at a known transaction, or
//! known to be none and repaired.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::codec::LtxEncoder;
use crate::local::Paths;
use crate::local::power_loss::{self, Left, Random};
use crate::local::trace::{self, Mode};
use crate::plan::{Next, next};
use crate::store::Level;

const PAGE_SIZE: u32 = 1024;

/// The last transaction of every history.
const TIP: u64 = 8;

/// Files that are applied at once, but while what was interrupted is repaired.
const BATCH: usize = 3;

/// Steps from any state to the end of the bucket.
const STEPS_MAX: usize = 20;

/// A history: the whole database after each transaction, and a bucket that has it.
struct History {
    images: Vec<Vec<u8>>,
    bucket: Vec<Fetched>,
}

impl History {
    fn new(random: &mut Random) -> Self {
        let size = PAGE_SIZE as usize;
        let mut images = vec![Vec::new()];
        for txid in 1..=TIP {
            let mut image = images.last().cloned().unwrap_or_default();
            let before = image.len() / size;
            let pages = usize::try_from(match random.below(3) {
                0 => 1 + random.below(24),
                _ => (before as u64).max(6),
            });
            image.resize(pages.unwrap() * size, 0);
            for (n, page) in image.chunks_mut(size).enumerate() {
                if n >= before || random.below(3) == 0 {
                    let text = format!("page {n} of transaction {txid} ");
                    let content = text.bytes().cycle().take(size).collect::<Vec<_>>();
                    page.copy_from_slice(&content);
                }
            }
            images.push(image);
        }
        let mut history = Self { images, bucket: Vec::new() };
        history.bucket = history.files();
        history
    }

    fn image(&self, txid: u64) -> &[u8] {
        &self.images[usize::try_from(txid).unwrap()]
    }

    fn page(&self, txid: u64, n: usize) -> Option<&[u8]> {
        let size = PAGE_SIZE as usize;
        self.image(txid).get(n * size..(n + 1) * size)
    }

    /// These transactions as one file.
    fn fetched(&self, level: u8, min: u64, max: u64) -> Fetched {
        let pages = self.image(max).len() / PAGE_SIZE as usize;
        let header = LtxHeader {
            page_size: PAGE_SIZE,
            commit: u32::try_from(pages).unwrap(),
            min: Txid::new(min),
            max: Txid::new(max),
            timestamp_ms: i64::try_from(max).unwrap(),
            wal_offset: 32,
            wal_size: 0,
            wal_salt1: 0,
            wal_salt2: 0,
        };
        let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
        for n in 0..pages {
            let page = self.page(max, n).unwrap();
            let changed = |txid| self.page(txid, n) != self.page(txid - 1, n);
            if (min..=max).any(changed) {
                encoder.page(u32::try_from(n).unwrap() + 1, page).unwrap();
            }
        }
        let bytes = Bytes::from(encoder.finish().unwrap());
        let name =
            LtxName { level: Level::new(level).unwrap(), min: Txid::new(min), max: Txid::new(max) };
        let info = LtxInfo {
            name,
            size: bytes.len() as u64,
            timestamp_ms: header.timestamp_ms,
            epoch: Some(Epoch::new(1)),
        };
        Fetched { info, content: Content::Memory(bytes) }
    }

    /// A snapshot, every transaction, and some of them as one file.
    fn files(&self) -> Vec<Fetched> {
        let snapshot = self.fetched(9, 1, 4);
        let each = (1..=TIP).map(|txid| self.fetched(0, txid, txid));
        each.chain([self.fetched(1, 5, 6), snapshot]).collect()
    }
}

struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { dir: power_loss::directory() }
    }

    fn replica(&self) -> PathBuf {
        self.dir.path().join("replica.db")
    }

    fn open(&self) -> Local {
        let data = self.dir.path().join("data.db");
        Local::open(Paths { data, replica: self.replica(), owner: None }).unwrap()
    }

    /// Whatever the replica says it is, it is; returns its transaction.
    fn check(&self, history: &History, local: &Local, acknowledged: u64, what: &str) -> u64 {
        match local.replica().unwrap() {
            Replica::At(record) => {
                let txid = record.txid.get();
                let content = std::fs::read(self.replica()).unwrap();
                assert!(content == history.image(txid), "{what}: not transaction {txid}");
                assert!(txid >= acknowledged, "{what}: {txid}, {acknowledged} was acknowledged");
                txid
            }
            Replica::Torn { .. } | Replica::None => 0,
        }
    }
}

/// Does the next thing that brings the replica closer to the end, with so many files at once at
/// most; `false` at the end.
fn step(local: &Local, bucket: &[Fetched], batch: usize) -> Result<bool, ApplyError> {
    let files: Vec<LtxInfo> = bucket.iter().map(|file| file.info.clone()).collect();
    let find = |name: &LtxName| {
        let file = bucket.iter().find(|file| file.info.name == *name).unwrap();
        let Content::Memory(bytes) = &file.content else { panic!("it is in memory") };
        Fetched { info: file.info.clone(), content: Content::Memory(bytes.clone()) }
    };
    match next(&files, local.replica()?.state()) {
        Next::Done => Ok(false),
        Next::Apply(names) => {
            apply(local, &names.iter().take(batch).map(find).collect::<Vec<_>>())?;
            Ok(true)
        }
        Next::Rebuild(name) => {
            rebuild(local, &find(&name))?;
            Ok(true)
        }
        other @ (Next::SetAside(_) | Next::Stuck(_)) => panic!("{other:?}"),
    }
}

/// When what was applied is made durable.
#[derive(Debug, Clone)]
enum Flush {
    /// After every step.
    Always,
    /// After some steps, and at the end.
    Sometimes(Random),
    /// At the end.
    Last,
}

impl Flush {
    fn is_due(&mut self) -> bool {
        match self {
            Self::Always => true,
            Self::Sometimes(random) => random.below(2) == 0,
            Self::Last => false,
        }
    }
}

/// Goes to the end, and looks after every step; returns from which moment on a transaction was
/// durable.
fn to_the_end(
    node: &Node,
    history: &History,
    local: &Local,
    (batch, mut flush): (usize, Flush),
    what: &str,
) -> Vec<(usize, u64)> {
    let mut durable = Vec::new();
    for _ in 0..STEPS_MAX {
        let more = step(local, &history.bucket, batch).unwrap();
        let txid = node.check(history, local, 0, what);
        if !more || flush.is_due() {
            local.flush().unwrap();
            durable.push((trace::moment(), txid));
        }
        if !more {
            assert!(std::fs::read(node.replica()).unwrap() == history.image(TIP), "{what}");
            return durable;
        }
    }
    panic!("{what}: no end");
}

/// The state from which a history goes on.
#[derive(Debug, Clone, Copy)]
enum From {
    Nothing,
    /// A replica at this transaction.
    At(u64),
}

/// Brings a replica to its end with a power loss at every moment, and another one during the
/// repair of each; what is found after each of them is a database, or is repaired to be one.
fn power_losses(seed: u64, from: From, way: (usize, Flush), each: u64) -> usize {
    let mut random = Random::new(seed);
    let history = History::new(&mut random);
    let node = Node::new();
    let local = node.open();
    let acknowledged = match from {
        From::Nothing => 0,
        From::At(txid) => {
            rebuild(&local, &history.fetched(9, 1, txid)).unwrap();
            txid
        }
    };
    trace::start(node.dir.path(), Mode::Own);
    let durable = to_the_end(&node, &history, &local, way, "the first time");
    let traced = trace::stop();
    drop(local);
    let mut states = 0;
    for moment in 0..traced.moments() {
        let some = (0..each).map(|n| Left::Some(Random::new(seed ^ (n << 32) ^ moment as u64)));
        for left in [Left::All, Left::None].into_iter().chain(some) {
            let what = format!("seed {seed} from {from:?} moment {moment} {left:?}");
            traced.lose_power(moment, left);
            trace::start(node.dir.path(), Mode::Own);
            let local = node.open();
            let found = node.check(&history, &local, acknowledged, &what);
            from_there(&local, durable_at(&durable, moment), &what);
            let flush = Flush::Sometimes(random.clone());
            to_the_end(&node, &history, &local, (1, flush), &what);
            let repair = trace::stop();
            drop(local);

            let moment = usize::try_from(random.below(repair.moments() as u64)).unwrap();
            let what = format!("{what}, then moment {moment}");
            repair.lose_power(moment, Left::Some(random.clone()));
            trace::start(node.dir.path(), Mode::Quiet);
            let local = node.open();
            node.check(&history, &local, found, &what);
            to_the_end(&node, &history, &local, (2, Flush::Last), &what);
            trace::stop();
            states += 2;
        }
    }
    states
}

/// What was durable at a moment.
fn durable_at(durable: &[(usize, u64)], moment: usize) -> u64 {
    durable.iter().filter(|(at, _)| *at <= moment).map(|(_, txid)| *txid).max().unwrap_or(0)
}

/// What was durable is not applied again.
fn from_there(local: &Local, durable: u64, what: &str) {
    let from = match local.replica().unwrap() {
        Replica::At(record) | Replica::Torn { from: record, .. } => record.txid.get(),
        Replica::None => 0,
    };
    assert!(from >= durable, "{what}: {from}, {durable} was durable");
}

#[test]
fn a_power_loss_while_increments_are_applied_leaves_a_database_or_what_is_repaired() {
    for seed in 0..5 {
        let losses = power_losses(seed, From::At(4), (BATCH, Flush::Always), 6);
        assert!(losses > 200, "seed {seed}");
    }
}

#[test]
fn a_power_loss_while_a_replica_is_ahead_of_what_is_durable_is_repaired() {
    for seed in 30..34 {
        let ways = [Flush::Last, Flush::Sometimes(Random::new(seed)), Flush::Always];
        for flush in ways {
            assert!(power_losses(seed, From::At(4), (1, flush), 6) > 200, "seed {seed}");
        }
    }
}

#[test]
fn a_power_loss_while_a_replica_is_rebuilt_leaves_the_old_one_or_the_new_one() {
    for seed in 10..13 {
        let way = (BATCH, Flush::Last);
        assert!(power_losses(seed, From::Nothing, way.clone(), 4) > 300, "seed {seed}");
        // From here on there are no increments: it is rebuilt.
        assert!(power_losses(seed, From::At(2), way, 4) > 300, "seed {seed}");
    }
}

#[test]
fn a_disk_that_fails_once_at_any_write_leaves_a_replica_that_goes_on() {
    for (seed, from) in [(20, From::At(4)), (21, From::At(4)), (22, From::Nothing)] {
        let mut random = Random::new(seed);
        let history = History::new(&mut random);
        for fails_at in 0.. {
            let node = Node::new();
            trace::start(node.dir.path(), Mode::Quiet);
            let local = node.open();
            if let From::At(txid) = from {
                rebuild(&local, &history.fetched(9, 1, txid)).unwrap();
            }
            trace::stop();
            trace::start(node.dir.path(), Mode::FailsAt(fails_at));
            let mut failures = 0;
            let mut flush = Flush::Sometimes(Random::new(fails_at as u64));
            for _ in 0..STEPS_MAX {
                let done = step(&local, &history.bucket, 1).and_then(|more| {
                    if !more || flush.is_due() {
                        local.flush()?;
                    }
                    Ok(more)
                });
                match done {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => failures += 1,
                }
                let what = format!("seed {seed} failure at {fails_at}");
                node.check(&history, &local, 0, &what);
            }
            let traced = trace::stop();
            assert!(std::fs::read(node.replica()).unwrap() == history.image(TIP), "{fails_at}");
            if failures == 0 {
                assert!(fails_at > 20 && fails_at >= traced.moments() - 1, "{fails_at}");
                break;
            }
            assert_eq!(failures, 1, "{fails_at}");
        }
    }
}
