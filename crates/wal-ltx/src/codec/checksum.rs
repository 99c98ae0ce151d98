//! The file checksum: CRC-64/GO-ISO with the top bit set.

use std::fmt;

use crc_fast::{CrcAlgorithm, Digest};

/// Set in every LTX checksum, so that 0 means "none".
const CHECKSUM_FLAG: u64 = 1 << 63;

/// The running checksum of a file.
pub(super) struct FileChecksum(Digest);

impl FileChecksum {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64GoIso))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.finalize() | CHECKSUM_FLAG
    }
}

impl fmt::Debug for FileChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileChecksum({:016x})", self.value())
    }
}
