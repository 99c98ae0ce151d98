//! Which object of level 0 made a commit durable.
//!
//! A file says which part of which WAL it covers. A WAL that has started over has other salts;
//! the commits tell in which order.

use crate::child::Mark;
use crate::database::WalEnd;
use crate::observer::File;

/// A commit and the object that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Durable {
    /// When the commit had returned.
    pub(crate) committed: u64,
    /// When the object was seen.
    pub(crate) seen: u64,
    /// Its transaction.
    pub(crate) txid: u64,
}

impl Durable {
    /// Between the two, in nanoseconds.
    pub(crate) fn nanos(&self) -> u64 {
        self.seen.saturating_sub(self.committed)
    }
}

/// Finds the object of every commit; those whose object is not known for sure are left out.
pub(crate) fn durable(marks: &[Mark], files: &[File]) -> Vec<Durable> {
    let mut salts: Vec<(u32, u32)> = Vec::new();
    let mut at = 0;
    let mut found = Vec::new();
    for mark in marks {
        if salts.last() != Some(&mark.end.salts) {
            salts.push(mark.end.salts);
        }
    }
    let rank = |of: (u32, u32)| salts.iter().rposition(|salts| *salts == of);
    for mark in marks {
        let Some(own) = rank(mark.end.salts) else { continue };
        while files.get(at).is_some_and(|file| !covers(file, own, mark.end, &rank)) {
            at += 1;
        }
        let Some(file) = files.get(at) else { break };
        // The object before may be the one when nothing is known of it.
        let known = at == 0
            || files[at - 1].header.is_some()
                && files[at - 1].seen.name.max.get() + 1 == file.seen.name.min.get();
        if known {
            found.push(Durable {
                committed: mark.at,
                seen: file.seen.at,
                txid: file.seen.name.max.get(),
            });
        }
    }
    found
}

/// Whether a file goes at least to `end`, in the WAL of rank `own`.
fn covers(
    file: &File,
    own: usize,
    end: WalEnd,
    rank: &impl Fn((u32, u32)) -> Option<usize>,
) -> bool {
    let Some(header) = &file.header else { return false };
    match rank((header.wal_salt1, header.wal_salt2)) {
        Some(its) if its == own => header.wal_offset + header.wal_size >= end.offset,
        Some(its) => its > own,
        None => false,
    }
}
