//! The 100-byte header of an LTX file.

use ccm_types::Txid;

use super::LtxError;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 100;

const MAGIC: [u8; 4] = *b"LTX1";

/// The file carries no rolling database checksum; Litestream writes and reads nothing else.
const FLAG_NO_CHECKSUM: u32 = 2;

/// What an LTX file is: which transactions, of which database size, from where in the WAL.
///
/// Source: LTX file format, "Header", with the offsets of Litestream 0.5; the WAL fields name what
/// SQLite's file format has in section 4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LtxHeader {
    /// Page size of the database in bytes: a power of two, 512 to 65536.
    pub page_size: u32,
    /// Size of the database in pages after this file.
    pub commit: u32,
    /// The first transaction contained; 1 makes the file a full snapshot.
    pub min: Txid,
    /// The last transaction contained.
    pub max: Txid,
    /// Commit time of the last transaction, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Where in the WAL the file's frames begin, in bytes; 0 when it is not from a WAL.
    pub wal_offset: u64,
    /// How many bytes of the WAL the file covers.
    pub wal_size: u64,
    /// The first salt of that WAL; 0 when it is not from a WAL.
    pub wal_salt1: u32,
    /// The second salt of that WAL.
    pub wal_salt2: u32,
}

impl LtxHeader {
    /// Whether the file contains every page of the database.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.min == Txid::new(1)
    }

    /// Reads the header at the beginning of `bytes` and checks it.
    ///
    /// # Errors
    /// [`LtxError::Truncated`], [`LtxError::NotLtx`], [`LtxError::Header`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LtxError> {
        let bytes: &[u8; HEADER_LEN] = bytes
            .get(..HEADER_LEN)
            .and_then(|b| b.try_into().ok())
            .ok_or(LtxError::Truncated { part: "header" })?;
        let found = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if found != MAGIC {
            return Err(LtxError::NotLtx { found });
        }
        let flags = u32_at(bytes, 4);
        if flags != FLAG_NO_CHECKSUM {
            return refuse(format!("flags {flags:#x}: only files without rolling checksum (2)"));
        }
        let pre_apply = u64_at(bytes, 40);
        if pre_apply != 0 {
            return refuse(format!("a pre-apply checksum ({pre_apply:016x}) is not allowed"));
        }
        let header = Self {
            page_size: u32_at(bytes, 8),
            commit: u32_at(bytes, 12),
            min: Txid::new(u64_at(bytes, 16)),
            max: Txid::new(u64_at(bytes, 24)),
            timestamp_ms: u64_at(bytes, 32).cast_signed(),
            wal_offset: u64_at(bytes, 48),
            wal_size: u64_at(bytes, 56),
            wal_salt1: u32_at(bytes, 64),
            wal_salt2: u32_at(bytes, 68),
        };
        header.check()?;
        Ok(header)
    }

    /// The header as written.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut put = |at: usize, field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
        };
        put(0, &MAGIC);
        put(4, &FLAG_NO_CHECKSUM.to_be_bytes());
        put(8, &self.page_size.to_be_bytes());
        put(12, &self.commit.to_be_bytes());
        put(16, &self.min.get().to_be_bytes());
        put(24, &self.max.get().to_be_bytes());
        put(32, &self.timestamp_ms.to_be_bytes());
        put(48, &self.wal_offset.to_be_bytes());
        put(56, &self.wal_size.to_be_bytes());
        put(64, &self.wal_salt1.to_be_bytes());
        put(68, &self.wal_salt2.to_be_bytes());
        bytes
    }

    /// Checks the rules that every reader of the format enforces.
    pub(super) fn check(&self) -> Result<(), LtxError> {
        if !self.page_size.is_power_of_two() || !(512..=65536).contains(&self.page_size) {
            return refuse(format!("page size {}", self.page_size));
        }
        if self.min == Txid::ZERO || self.max < self.min {
            return refuse(format!("transactions {} to {}", self.min, self.max));
        }
        let limit = i64::MAX.cast_unsigned();
        if self.wal_offset > limit || self.wal_size > limit {
            return refuse(format!("WAL offset {} size {}", self.wal_offset, self.wal_size));
        }
        let has_wal = self.wal_size != 0 || self.wal_salt1 != 0 || self.wal_salt2 != 0;
        if has_wal && self.wal_offset == 0 {
            return refuse(String::from("a WAL size or salt without a WAL offset"));
        }
        Ok(())
    }
}

fn refuse<T>(why: String) -> Result<T, LtxError> {
    Err(LtxError::Header { why })
}

fn u32_at(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(field)
}

fn u64_at(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(field)
}
