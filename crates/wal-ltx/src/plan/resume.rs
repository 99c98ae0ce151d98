//! Whether a capture goes on where the chain of the bucket ends, or begins a new one.

use crate::codec::LtxHeader;

/// The beginning of a WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalStart {
    /// First salt.
    pub salt1: u32,
    /// Second salt.
    pub salt2: u32,
}

/// How a capture begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// The data file without a WAL is what the bucket holds.
    AtBase,
    /// Behind this byte of the WAL, if its frames lead there.
    After(u64),
    /// The whole database is the next transaction.
    Whole,
}

/// Decides how a capture begins.
///
/// `wal` is the header of the WAL, `None` without a valid one; `wal_len` its length in bytes.
/// `last` is the header of the level-0 file that ends where the bucket does, `at_base` says that
/// the data file was made from the bucket up to there.
#[must_use]
pub fn resume(
    wal: Option<WalStart>,
    wal_len: u64,
    last: Option<&LtxHeader>,
    at_base: bool,
) -> Resume {
    let Some(start) = wal else {
        return if at_base && wal_len == 0 { Resume::AtBase } else { Resume::Whole };
    };
    match last {
        Some(last) if (last.wal_salt1, last.wal_salt2) == (start.salt1, start.salt2) => {
            Resume::After(last.wal_offset.saturating_add(last.wal_size))
        }
        Some(_) | None => Resume::Whole,
    }
}
