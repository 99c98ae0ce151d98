//! Writes down what is done to the disk below a directory, in the order in which it is done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Op, parent};

/// A file, whatever its name is.
pub(super) type Inode = usize;

/// What was done.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Write { inode: Inode, at: u64, bytes: Vec<u8> },
    SetLen { inode: Inode, len: u64 },
    Sync { inode: Inode },
    Link { path: PathBuf, inode: Inode },
    Rename { from: PathBuf, to: PathBuf, inode: Inode },
    Unlink { path: PathBuf },
    SyncDir { dir: PathBuf },
}

/// The files below a directory and everything that was done to them.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(super) root: PathBuf,
    /// Before the first entry; all of it was durable.
    pub(super) before: BTreeMap<PathBuf, Inode>,
    pub(super) contents: Vec<Vec<u8>>,
    pub(super) entries: Vec<Entry>,
    /// As it is now.
    names: BTreeMap<PathBuf, Inode>,
    files: Vec<Vec<u8>>,
    mode: Mode,
}

/// What is written down, and what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing is.
    Quiet,
    /// Everything that is done here.
    Own,
    /// What SQLite does meanwhile as well.
    WithSqlite,
    /// Everything that is done here; the operation after so many fails, once.
    FailsAt(usize),
}

thread_local! {
    static TRACE: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

/// Writes down what this thread does below `root` from now on. Nothing is synced meanwhile.
pub(crate) fn start(root: &Path, mode: Mode) {
    let mut trace = Trace {
        root: root.to_path_buf(),
        before: BTreeMap::new(),
        contents: Vec::new(),
        entries: Vec::new(),
        names: BTreeMap::new(),
        files: Vec::new(),
        mode,
    };
    if mode != Mode::Quiet {
        trace.done_by_others();
    }
    (trace.before, trace.contents) = (trace.names.clone(), trace.files.clone());
    trace.entries.clear();
    TRACE.set(Some(trace));
}

/// What has been done so far.
pub(crate) fn moment() -> usize {
    TRACE.with_borrow(|trace| trace.as_ref().map_or(0, |trace| trace.entries.len()))
}

/// What was written down.
pub(crate) fn stop() -> Trace {
    let mut trace = TRACE.take().unwrap();
    if trace.mode == Mode::WithSqlite {
        trace.done_by_others();
    }
    trace
}

/// Writes an operation down; `false` for one that need not be done.
pub(super) fn permit(op: Op<'_>) -> io::Result<bool> {
    TRACE.with_borrow_mut(|trace| match trace {
        Some(trace) => trace.permit(op),
        None => Ok(true),
    })
}

impl Trace {
    fn permit(&mut self, op: Op<'_>) -> io::Result<bool> {
        match self.mode {
            Mode::Quiet => {}
            Mode::FailsAt(at) if self.entries.len() >= at => {
                self.mode = Mode::Own;
                self.fail(op)?;
            }
            Mode::Own | Mode::FailsAt(_) => self.add(op),
            Mode::WithSqlite => {
                self.done_by_others();
                self.add(op);
            }
        }
        Ok(!matches!(op, Op::Sync { .. } | Op::SyncDir { .. }))
    }

    /// Fails; half of a write is done.
    fn fail(&mut self, op: Op<'_>) -> io::Result<()> {
        if let Op::Write { path, at, bytes } = op {
            let bytes = &bytes[..bytes.len() / 2];
            std::fs::File::options().write(true).open(path)?.write_all_at(bytes, at)?;
            self.add(Op::Write { path, at, bytes });
        }
        Err(io::Error::other("failed on purpose"))
    }

    fn add(&mut self, op: Op<'_>) {
        let entry = match op {
            Op::Create { path } => match self.names.get(path) {
                Some(&inode) => Entry::SetLen { inode, len: 0 },
                None => Entry::Link { path: path.into(), inode: self.new_inode() },
            },
            Op::Write { path, at, bytes } => {
                Entry::Write { inode: self.names[path], at, bytes: bytes.to_vec() }
            }
            Op::SetLen { path, len } => Entry::SetLen { inode: self.names[path], len },
            Op::Sync { path } => Entry::Sync { inode: self.names[path] },
            Op::Rename { from, to } => match self.names.get(from) {
                Some(&inode) => Entry::Rename { from: from.into(), to: to.into(), inode },
                None => return,
            },
            Op::Remove { path } if !self.names.contains_key(path) => return,
            Op::Remove { path } => Entry::Unlink { path: path.into() },
            Op::SyncDir { dir } => Entry::SyncDir { dir: dir.into() },
        };
        entry.apply(&mut self.names, &mut self.files);
        self.entries.push(entry);
    }

    fn new_inode(&mut self) -> Inode {
        self.files.push(Vec::new());
        self.files.len() - 1
    }

    /// What was done past [`permit`], by SQLite: it syncs content and new names, and removes
    /// names without a sync.
    fn done_by_others(&mut self) {
        let found = read(&self.root);
        let gone: Vec<_> = self.names.keys().filter(|p| !found.contains_key(*p)).cloned().collect();
        for (path, content) in found {
            let inode = match self.names.get(&path) {
                Some(&inode) if self.files[inode] == content => continue,
                Some(&inode) => inode,
                None => {
                    let inode = self.new_inode();
                    self.push(Entry::Link { path: path.clone(), inode });
                    self.push(Entry::SyncDir { dir: parent(&path).into() });
                    inode
                }
            };
            let len = content.len() as u64;
            self.push(Entry::Write { inode, at: 0, bytes: content });
            self.push(Entry::SetLen { inode, len });
            self.push(Entry::Sync { inode });
        }
        // A WAL goes last.
        gone.into_iter().for_each(|path| self.push(Entry::Unlink { path }));
    }

    fn push(&mut self, entry: Entry) {
        entry.apply(&mut self.names, &mut self.files);
        self.entries.push(entry);
    }
}

impl Entry {
    /// Does it.
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Inode>, files: &mut [Vec<u8>]) {
        let index = |n: u64| usize::try_from(n).unwrap();
        match self {
            Self::Write { inode, at, bytes } => {
                let (file, at) = (&mut files[*inode], index(*at));
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::SetLen { inode, len } => files[*inode].resize(index(*len), 0),
            Self::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Sync { .. } | Self::SyncDir { .. } => {}
        }
    }
}

/// The files below a directory, but for downloads and the lock, which no crash is about.
fn read(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name == "spool" || name == "lock" {
            continue;
        }
        if path.is_dir() {
            found.extend(read(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}
