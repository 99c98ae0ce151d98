//! LTX files (version 3): bytes in, pages out, and back. Streaming over [`std::io`].
//!
//! A file is a 100-byte header, pages as LZ4 blocks in ascending order, six zero bytes, an index
//! of the pages, and a trailer with the CRC-64 of everything. All integers are big-endian.
//!
//! Source: the format's description, sections "Header", "Page block" and "Trailer" of
//! <https://github.com/superfly/ltx#file-format>, and what Litestream 0.5 writes. Where the two
//! differ Litestream counts: pages are length-prefixed LZ4 blocks (page flag 1), the index lies
//! between pages and trailer, and no checksum of the database is carried (header flag 2).

mod checksum;
mod decoder;
mod encoder;
mod header;
mod merge;

pub use decoder::LtxDecoder;
pub use encoder::LtxEncoder;
pub use header::{HEADER_LEN, LtxHeader};
pub use merge::{MergeError, merge};

/// The byte of the database file whose page carries SQLite's locks.
const LOCK_BYTE: u32 = 0x4000_0000;

/// Page number and flags.
const PAGE_HEADER_LEN: usize = 6;

/// Post-apply checksum and file checksum.
const TRAILER_LEN: usize = 16;

/// The only page flag: a length follows, and the data is one LZ4 block.
const PAGE_FLAG_BLOCK: u16 = 1;

/// Why LTX bytes were refused, on reading or on writing.
#[derive(Debug, thiserror::Error)]
pub enum LtxError {
    /// The reader or the writer underneath failed.
    #[error("could not {doing} an LTX file")]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file does not begin with `LTX1`.
    #[error("not an LTX file: it begins with {found:02x?} instead of \"LTX1\"")]
    NotLtx {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A header field breaks a rule of the format.
    #[error("the LTX header is not valid: {why}")]
    Header {
        /// The rule.
        why: String,
    },
    /// The file ends too early.
    #[error("the LTX file is truncated in its {part}")]
    Truncated {
        /// Where it ends.
        part: &'static str,
    },
    /// A page breaks a rule of the format, or cannot be decompressed.
    #[error("page {pgno} of the LTX file is not valid: {why}")]
    Page {
        /// The page number as written.
        pgno: u32,
        /// The rule.
        why: String,
    },
    /// A full snapshot (first TXID 1) lacks a page.
    #[error("the LTX file is a snapshot of {commit} pages and lacks page {missing}")]
    Incomplete {
        /// Database size in pages.
        commit: u32,
        /// The first page that is not there.
        missing: u32,
    },
    /// Index or trailer do not fit the pages.
    #[error("the end of the LTX file is not valid: {why}")]
    Tail {
        /// What does not fit.
        why: &'static str,
    },
    /// The content does not match the checksum in the trailer.
    #[error(
        "the LTX file is damaged: its checksum is {found:016x}, the trailer says {expected:016x}"
    )]
    Checksum {
        /// In the trailer.
        expected: u64,
        /// Of the content.
        found: u64,
    },
}

impl LtxError {
    fn write(source: std::io::Error) -> Self {
        Self::Io { doing: "write", source }
    }

    fn read(source: std::io::Error, part: &'static str) -> Self {
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::Truncated { part }
        } else {
            Self::Io { doing: "read", source }
        }
    }
}

/// The number of the page that carries SQLite's locks; it holds no data and is never encoded.
///
/// `page_size` in bytes. Source: SQLite's file format, section 1.4, "The Lock-Byte Page".
///
/// # Panics
/// Never: a page size of 0 counts as 1.
#[must_use]
pub const fn lock_page(page_size: u32) -> u32 {
    let size = if page_size == 0 { 1 } else { page_size };
    LOCK_BYTE / size + 1
}

/// The page that must follow `previous` in a snapshot (0 = at the start).
const fn following_page(previous: u32, page_size: u32) -> u32 {
    let next = previous.saturating_add(1);
    if next == lock_page(page_size) { next + 1 } else { next }
}

/// Checks that page `pgno` may come after `previous` (0 = at the start).
fn check_order(header: &LtxHeader, previous: u32, pgno: u32) -> Result<(), LtxError> {
    let refuse = |why: String| Err(LtxError::Page { pgno, why });
    if pgno == 0 {
        return refuse(String::from("pages count from 1"));
    }
    if pgno > header.commit {
        return refuse(format!("the database has {} pages", header.commit));
    }
    if pgno == lock_page(header.page_size) {
        return refuse(String::from("the lock page is never part of an LTX file"));
    }
    if header.is_snapshot() {
        let missing = following_page(previous, header.page_size);
        if pgno > missing {
            return Err(LtxError::Incomplete { commit: header.commit, missing });
        }
    }
    if pgno <= previous {
        return refuse(format!("it comes after page {previous}"));
    }
    Ok(())
}

/// Checks that a file whose last page is `previous` may end here.
fn check_complete(header: &LtxHeader, previous: u32) -> Result<(), LtxError> {
    let missing = following_page(previous, header.page_size);
    if header.is_snapshot() && missing <= header.commit {
        return Err(LtxError::Incomplete { commit: header.commit, missing });
    }
    Ok(())
}

/// Appends one index entry: page number, offset of its header, length of the whole page frame.
fn push_index_entry(index: &mut Vec<u8>, pgno: u32, offset: u64, len: u64) {
    for mut value in [u64::from(pgno), offset, len] {
        while value >= 0x80 {
            index.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        index.push(u8::try_from(value).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests;
