//! A position in a WAL and what can be read from there.

use super::{FRAME_HEADER_LEN, WAL_HEADER_LEN, WalHeader, checksum, u32_at};

/// A position in one WAL: the end of a committed transaction, or the beginning; after a
/// [`Step`] the end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalCursor {
    /// Page size of the database in bytes.
    pub page_size: u32,
    /// First salt: frames with another one belong to an older WAL.
    pub salt1: u32,
    /// Second salt.
    pub salt2: u32,
    /// Whether checksums read words big-endian.
    pub big_endian: bool,
    /// The checksum of the last frame before `offset`, or of the header.
    pub checksum: (u32, u32),
    /// Byte offset in the WAL file: always the beginning of a frame.
    pub offset: u64,
}

/// What lies between a cursor and the last complete commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The transactions, oldest first.
    pub commits: Vec<Commit>,
    /// After the last of them; the cursor that was scanned from when there is none.
    pub cursor: WalCursor,
}

/// One committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Byte offset in the WAL file after its last frame.
    pub end_offset: u64,
    /// Size of the database in pages after it.
    pub db_size_pages: u32,
    /// Its frames in WAL order: page number, and where in the scanned bytes the page begins.
    /// A page may occur more than once; the last one counts.
    pub frames: Vec<(u32, usize)>,
}

/// One frame, gone over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The page in it.
    pub pgno: u32,
    /// Size of the database in pages when the frame ends a transaction, else 0.
    pub db_size_pages: u32,
    /// After the frame.
    pub cursor: WalCursor,
}

struct Frame {
    pgno: u32,
    /// Database size in pages when the frame ends a transaction, else 0.
    commit: u32,
    checksum: (u32, u32),
}

impl WalCursor {
    /// The beginning of the WAL with this header: offset 32.
    #[must_use]
    pub fn start(header: &WalHeader) -> Self {
        Self {
            page_size: header.page_size,
            salt1: header.salt1,
            salt2: header.salt2,
            big_endian: header.big_endian,
            checksum: (header.checksum1, header.checksum2),
            offset: WAL_HEADER_LEN as u64,
        }
    }

    /// Length of a frame in bytes: its header and one page.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        FRAME_HEADER_LEN + self.page_size as usize
    }

    /// The committed transactions in `bytes`, which begin at the cursor's offset in the WAL.
    ///
    /// A wrong salt, a wrong checksum or the end of `bytes` ends the scan; a transaction that is
    /// not complete by then is not returned.
    #[must_use]
    pub fn scan(&self, bytes: &[u8]) -> Scan {
        let mut scan = Scan { commits: Vec::new(), cursor: *self };
        let mut frames = Vec::new();
        let mut sum = self.checksum;
        let mut end = self.offset;
        let mut at = 0;
        for frame_bytes in bytes.chunks_exact(self.frame_len()) {
            let Some(frame) = self.frame(sum, frame_bytes) else { break };
            sum = frame.checksum;
            end += frame_bytes.len() as u64;
            frames.push((frame.pgno, at + FRAME_HEADER_LEN));
            at += frame_bytes.len();
            if frame.commit != 0 {
                scan.cursor.checksum = sum;
                scan.cursor.offset = end;
                scan.commits.push(Commit {
                    end_offset: end,
                    db_size_pages: frame.commit,
                    frames: std::mem::take(&mut frames),
                });
            }
        }
        scan
    }

    /// Goes over the one frame in `bytes`, also into the middle of a transaction; `None` when
    /// they are not the frame that comes next.
    #[must_use]
    pub fn step(&self, bytes: &[u8]) -> Option<Step> {
        let frame = self.frame(self.checksum, bytes)?;
        let offset = self.offset + bytes.len() as u64;
        let cursor = Self { checksum: frame.checksum, offset, ..*self };
        Some(Step { pgno: frame.pgno, db_size_pages: frame.commit, cursor })
    }

    /// The frame in exactly one frame's bytes, if it continues the chain after `sum`.
    fn frame(&self, sum: (u32, u32), bytes: &[u8]) -> Option<Frame> {
        if bytes.len() != self.frame_len() {
            return None;
        }
        let (head, page) = bytes.split_at(FRAME_HEADER_LEN);
        let pgno = u32_at(head, 0);
        if pgno == 0 || u32_at(head, 8) != self.salt1 || u32_at(head, 12) != self.salt2 {
            return None;
        }
        let sum = checksum::extend(sum, &head[..8], self.big_endian);
        let sum = checksum::extend(sum, page, self.big_endian);
        let stored = (u32_at(head, 16), u32_at(head, 20));
        (sum == stored).then_some(Frame { pgno, commit: u32_at(head, 4), checksum: sum })
    }
}
