//! What a power loss leaves: what was synced, and anything of the rest.
//!
//! What was not synced is there or not, each on its own, so also something later without
//! something earlier; of a write any of its sectors. A rename is there or not, never half. That is
//! more than a file system with a journal does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::parent;
use super::trace::{Entry, Inode, Trace};

/// What a disk writes as a whole.
const SECTOR: u64 = 512;

/// A small generator with a seed: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A directory in memory where there is one: what a disk keeps is made up here.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What is left of that which was not synced.
#[derive(Debug, Clone)]
pub(crate) enum Left {
    /// All: the process was killed.
    All,
    /// None.
    None,
    /// Some of it.
    Some(Random),
}

impl Trace {
    /// How many moments there are at which the power may go.
    pub(crate) fn moments(&self) -> usize {
        self.entries.len() + 1
    }

    /// Makes the directory what it is after a power loss before entry `moment`.
    pub(crate) fn lose_power(&self, moment: usize, mut left: Left) {
        let (mut names, mut files) = (self.before.clone(), self.contents.clone());
        files.resize(self.inodes(), Vec::new());
        for (at, entry) in self.entries[..moment].iter().enumerate() {
            let later = &self.entries[at + 1..moment];
            if is_durable(entry, later) {
                entry.apply(&mut names, &mut files);
                continue;
            }
            match &mut left {
                Left::All => entry.apply(&mut names, &mut files),
                Left::None => {}
                Left::Some(random) => some_of(entry, random, &mut names, &mut files),
            }
        }
        write(&self.root, &names, &files);
    }

    fn inodes(&self) -> usize {
        let of = |entry: &Entry| match entry {
            Entry::Link { inode, .. } => inode + 1,
            Entry::Write { .. }
            | Entry::SetLen { .. }
            | Entry::Sync { .. }
            | Entry::Rename { .. }
            | Entry::Unlink { .. }
            | Entry::SyncDir { .. } => 0,
        };
        self.entries.iter().map(of).max().unwrap_or(0).max(self.contents.len())
    }
}

/// Whether what came later has made it durable.
fn is_durable(entry: &Entry, later: &[Entry]) -> bool {
    let synced = |inode: &Inode| {
        later.iter().any(|entry| matches!(entry, Entry::Sync { inode: of } if of == inode))
    };
    let kept = |path: &Path| {
        later.iter().any(|entry| matches!(entry, Entry::SyncDir { dir } if dir == parent(path)))
    };
    match entry {
        Entry::Write { inode, .. } | Entry::SetLen { inode, .. } => synced(inode),
        Entry::Link { path, .. } | Entry::Unlink { path } => kept(path),
        Entry::Rename { from, to, .. } => kept(from) && kept(to),
        Entry::Sync { .. } | Entry::SyncDir { .. } => true,
    }
}

fn some_of(
    entry: &Entry,
    random: &mut Random,
    names: &mut BTreeMap<PathBuf, Inode>,
    files: &mut [Vec<u8>],
) {
    match (random.below(3), entry) {
        (0, _) => {}
        (1, Entry::Write { inode, at, bytes }) => {
            // Sectors of the file, not of the write.
            let mut from = 0;
            while from < bytes.len() {
                let to_border = SECTOR - (at + from as u64) % SECTOR;
                let to = (from + usize::try_from(to_border).unwrap()).min(bytes.len());
                if random.below(2) == 0 {
                    let (at, bytes) = (at + from as u64, bytes[from..to].to_vec());
                    Entry::Write { inode: *inode, at, bytes }.apply(names, files);
                }
                from = to;
            }
        }
        _ => entry.apply(names, files),
    }
}

/// Makes the files below `root` these, and no others.
fn write(root: &Path, names: &BTreeMap<PathBuf, Inode>, files: &[Vec<u8>]) {
    clear(root);
    for (path, &inode) in names {
        std::fs::write(path, &files[inode]).unwrap();
    }
}

fn clear(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            clear(&path);
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}
