//! Pages to LTX bytes.

use std::fmt;
use std::io::Write;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::checksum::FileChecksum;
use super::{
    LtxError, LtxHeader, PAGE_FLAG_BLOCK, PAGE_HEADER_LEN, check_complete, check_order,
    push_index_entry,
};

/// Writes one LTX file: header, pages in ascending order, index and trailer.
///
/// Nothing is valid before [`LtxEncoder::finish`].
pub struct LtxEncoder<W> {
    writer: W,
    header: LtxHeader,
    checksum: FileChecksum,
    table: CompressTable,
    frame: Vec<u8>,
    index: Vec<u8>,
    offset: u64,
    previous: u32,
}

impl<W> fmt::Debug for LtxEncoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LtxEncoder")
            .field("header", &self.header)
            .field("offset", &self.offset)
            .field("previous", &self.previous)
            .finish_non_exhaustive()
    }
}

impl<W: Write> LtxEncoder<W> {
    /// Checks the header and writes it.
    ///
    /// # Errors
    /// [`LtxError::Header`], [`LtxError::Io`].
    pub fn new(writer: W, header: LtxHeader) -> Result<Self, LtxError> {
        header.check()?;
        let mut encoder = Self {
            writer,
            header,
            checksum: FileChecksum::new(),
            table: CompressTable::default(),
            frame: Vec::new(),
            index: Vec::new(),
            offset: 0,
            previous: 0,
        };
        encoder.put_checked(&header.to_bytes())?;
        Ok(encoder)
    }

    /// Appends one page.
    ///
    /// Page numbers must ascend and stay within the header's `commit`; the lock page is refused;
    /// a snapshot (first TXID 1) takes every other page.
    ///
    /// # Errors
    /// [`LtxError::Page`], [`LtxError::Incomplete`], [`LtxError::Io`].
    pub fn page(&mut self, pgno: u32, data: &[u8]) -> Result<(), LtxError> {
        check_order(&self.header, self.previous, pgno)?;
        if u32::try_from(data.len()) != Ok(self.header.page_size) {
            let why = format!("{} bytes instead of {}", data.len(), self.header.page_size);
            return Err(LtxError::Page { pgno, why });
        }
        let data_at = PAGE_HEADER_LEN + 4;
        self.frame.resize(data_at + get_maximum_output_size(data.len()), 0);
        let refuse = |why: String| LtxError::Page { pgno, why };
        let len = compress_into_with_table(data, &mut self.frame[data_at..], &mut self.table)
            .map_err(|e| refuse(e.to_string()))?;
        let len_field = u32::try_from(len).map_err(|e| refuse(e.to_string()))?;
        self.frame[..4].copy_from_slice(&pgno.to_be_bytes());
        self.frame[4..6].copy_from_slice(&PAGE_FLAG_BLOCK.to_be_bytes());
        self.frame[6..10].copy_from_slice(&len_field.to_be_bytes());
        let frame = &self.frame[..data_at + len];
        self.checksum.update(&frame[..data_at]);
        self.checksum.update(data);
        self.writer.write_all(frame).map_err(LtxError::write)?;
        let frame_len = frame.len() as u64;
        push_index_entry(&mut self.index, pgno, self.offset, frame_len);
        self.offset += frame_len;
        self.previous = pgno;
        Ok(())
    }

    /// Writes index and trailer, flushes, and gives the writer back.
    ///
    /// # Errors
    /// [`LtxError::Incomplete`] for a snapshot with a missing page, [`LtxError::Io`].
    pub fn finish(mut self) -> Result<W, LtxError> {
        check_complete(&self.header, self.previous)?;
        let mut index = std::mem::take(&mut self.index);
        index.push(0);
        self.put_checked(&[0; PAGE_HEADER_LEN])?;
        self.put_checked(&index)?;
        self.put_checked(&(index.len() as u64).to_be_bytes())?;
        self.put_checked(&0_u64.to_be_bytes())?;
        let checksum = self.checksum.value();
        self.writer.write_all(&checksum.to_be_bytes()).map_err(LtxError::write)?;
        self.writer.flush().map_err(LtxError::write)?;
        Ok(self.writer)
    }

    fn put_checked(&mut self, bytes: &[u8]) -> Result<(), LtxError> {
        self.checksum.update(bytes);
        self.writer.write_all(bytes).map_err(LtxError::write)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
