//! LTX bytes to pages.

use std::io::{ErrorKind, Read};

use lz4_flex::block::{decompress_into, get_maximum_output_size};

use super::checksum::FileChecksum;
use super::{
    HEADER_LEN, LtxError, LtxHeader, PAGE_FLAG_BLOCK, PAGE_HEADER_LEN, TRAILER_LEN, check_complete,
    check_order, push_index_entry,
};

/// Reads one LTX file. Its content is proven only by [`LtxDecoder::finish`].
///
/// Memory: one page, its compressed form, and about ten bytes per page for the index.
#[derive(Debug)]
pub struct LtxDecoder<R> {
    reader: R,
    header: LtxHeader,
    checksum: FileChecksum,
    block: Vec<u8>,
    index: Vec<u8>,
    offset: u64,
    previous: u32,
    pages_done: bool,
}

impl<R: Read> LtxDecoder<R> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`LtxError::Truncated`], [`LtxError::NotLtx`], [`LtxError::Header`], [`LtxError::Io`].
    pub fn new(mut reader: R) -> Result<Self, LtxError> {
        let mut bytes = [0; HEADER_LEN];
        reader.read_exact(&mut bytes).map_err(|e| LtxError::read(e, "header"))?;
        let header = LtxHeader::parse(&bytes)?;
        let mut checksum = FileChecksum::new();
        checksum.update(&bytes);
        Ok(Self {
            reader,
            header,
            checksum,
            block: Vec::new(),
            index: Vec::new(),
            offset: HEADER_LEN as u64,
            previous: 0,
            pages_done: false,
        })
    }

    /// The file's header.
    #[must_use]
    pub fn header(&self) -> &LtxHeader {
        &self.header
    }

    /// Reads the next page into `buf` (exactly one page long afterwards) and returns its number;
    /// `None` after the last one.
    ///
    /// # Errors
    /// [`LtxError::Truncated`], [`LtxError::Page`], [`LtxError::Incomplete`], [`LtxError::Io`].
    /// The decoder is of no use afterwards.
    pub fn next_page(&mut self, buf: &mut Vec<u8>) -> Result<Option<u32>, LtxError> {
        if self.pages_done {
            return Ok(None);
        }
        let mut head = [0; PAGE_HEADER_LEN];
        self.fill(&mut head, "pages")?;
        let pgno = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let flags = u16::from_be_bytes([head[4], head[5]]);
        if pgno == 0 && flags == 0 {
            check_complete(&self.header, self.previous)?;
            self.pages_done = true;
            return Ok(None);
        }
        check_order(&self.header, self.previous, pgno)?;
        let refuse = |why: String| LtxError::Page { pgno, why };
        if flags != PAGE_FLAG_BLOCK {
            return Err(refuse(format!("flags {flags:#x}: only LZ4 blocks with a length (1)")));
        }
        let mut len = [0; 4];
        self.fill(&mut len, "pages")?;
        let len = u32::from_be_bytes(len) as usize;
        let page_size = self.header.page_size as usize;
        if len > get_maximum_output_size(page_size) {
            return Err(refuse(format!("a compressed length of {len} bytes")));
        }
        self.block.resize(len, 0);
        self.reader.read_exact(&mut self.block).map_err(|e| LtxError::read(e, "pages"))?;
        buf.resize(page_size, 0);
        let got = decompress_into(&self.block, buf).map_err(|e| refuse(e.to_string()))?;
        if got != page_size {
            return Err(refuse(format!("it decompresses to {got} bytes")));
        }
        self.checksum.update(buf);
        let frame_len = (PAGE_HEADER_LEN + 4 + len) as u64;
        push_index_entry(&mut self.index, pgno, self.offset, frame_len);
        self.offset += frame_len;
        self.previous = pgno;
        Ok(Some(pgno))
    }

    /// Reads what is left and verifies index, trailer, file checksum, and that nothing follows.
    ///
    /// # Errors
    /// Those of [`LtxDecoder::next_page`], [`LtxError::Tail`], [`LtxError::Checksum`].
    pub fn finish(mut self) -> Result<(), LtxError> {
        let mut page = Vec::new();
        while self.next_page(&mut page)?.is_some() {}
        self.index.push(0);
        let expected = std::mem::take(&mut self.index);
        let mut index = vec![0; expected.len()];
        self.fill(&mut index, "page index")?;
        if index != expected {
            return Err(LtxError::Tail { why: "the page index does not describe the pages" });
        }
        let mut len = [0; 8];
        self.fill(&mut len, "page index")?;
        if u64::from_be_bytes(len) != expected.len() as u64 {
            return Err(LtxError::Tail { why: "the length of the page index is wrong" });
        }
        let mut trailer = [0; TRAILER_LEN];
        self.reader.read_exact(&mut trailer).map_err(|e| LtxError::read(e, "trailer"))?;
        let (post_apply, checksum) = trailer.split_at(8);
        self.checksum.update(post_apply);
        if post_apply != [0; 8] {
            return Err(LtxError::Tail { why: "a post-apply checksum is not allowed" });
        }
        let mut field = [0; 8];
        field.copy_from_slice(checksum);
        let expected = u64::from_be_bytes(field);
        let found = self.checksum.value();
        if expected != found {
            return Err(LtxError::Checksum { expected, found });
        }
        self.expect_end()
    }

    fn expect_end(&mut self) -> Result<(), LtxError> {
        loop {
            match self.reader.read(&mut [0; 1]) {
                Ok(0) => return Ok(()),
                Ok(_) => return Err(LtxError::Tail { why: "bytes follow the trailer" }),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(LtxError::read(e, "trailer")),
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8], part: &'static str) -> Result<(), LtxError> {
        self.reader.read_exact(bytes).map_err(|e| LtxError::read(e, part))?;
        self.checksum.update(bytes);
        Ok(())
    }
}
