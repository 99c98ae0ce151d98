//! SQLite's write-ahead log: which bytes are committed transactions.
//!
//! Pure functions over byte ranges. Source: SQLite's file format
//! (<https://sqlite.org/fileformat2.html>), section 4.1 "WAL File Format" for the fields, 4.2
//! "Checksum Algorithm", and 4.5 "Reader Algorithm" for what counts as committed. A frame counts
//! only if its salts are the header's and its checksum continues the chain that begins in the
//! header.

mod checksum;
mod cursor;

pub use cursor::{Commit, Scan, WalCursor};

/// Length of the WAL header in bytes; the first frame begins here.
pub const WAL_HEADER_LEN: usize = 32;

/// Length of a frame header in bytes; a page follows it.
pub const FRAME_HEADER_LEN: usize = 24;

/// Magic of a WAL whose checksums read words little-endian; one more means big-endian.
const MAGIC: u32 = 0x377f_0682;

/// The only version of the format.
const VERSION: u32 = 3_007_000;

/// Why a WAL header was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    /// The file does not begin as a WAL does.
    #[error("not a SQLite WAL: its magic number is {found:#010x}")]
    Magic {
        /// The number found.
        found: u32,
    },
    /// A format version that SQLite does not document.
    #[error("unknown WAL format version {found}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// Not a page size of SQLite.
    #[error("a WAL page size of {found} is not possible")]
    PageSize {
        /// The page size found.
        found: u32,
    },
    /// Header and its checksum differ: it is being written, or damaged.
    #[error("the WAL header does not match its checksum")]
    Checksum,
}

/// The header of a WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalHeader {
    /// Whether checksums read words big-endian (the headers always are).
    pub big_endian: bool,
    /// Page size of the database in bytes.
    pub page_size: u32,
    /// Grows with every restart of the WAL.
    pub checkpoint_seq: u32,
    /// Grows by one with every restart of the WAL.
    pub salt1: u32,
    /// Random, new with every restart of the WAL.
    pub salt2: u32,
    /// First half of the header's checksum, with which the chain begins.
    pub checksum1: u32,
    /// Second half of the header's checksum.
    pub checksum2: u32,
}

impl WalHeader {
    /// Reads the header and verifies its checksum.
    ///
    /// # Errors
    /// [`WalError`] names the field that is wrong.
    pub fn parse(bytes: &[u8; WAL_HEADER_LEN]) -> Result<Self, WalError> {
        let field = |at: usize| u32_at(bytes, at);
        let magic = field(0);
        if magic & !1 != MAGIC {
            return Err(WalError::Magic { found: magic });
        }
        if field(4) != VERSION {
            return Err(WalError::Version { found: field(4) });
        }
        let page_size = field(8);
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(WalError::PageSize { found: page_size });
        }
        let header = Self {
            big_endian: magic & 1 == 1,
            page_size,
            checkpoint_seq: field(12),
            salt1: field(16),
            salt2: field(20),
            checksum1: field(24),
            checksum2: field(28),
        };
        let sum = checksum::extend((0, 0), &bytes[..24], header.big_endian);
        if sum != (header.checksum1, header.checksum2) {
            return Err(WalError::Checksum);
        }
        Ok(header)
    }
}

/// The big-endian word at `at`; 0 beyond the end, which no caller asks for.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    word.map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests;
