//! What is tried with any bytes: it never panics, and what it accepts is what it says.

use std::io::{self, Write};

use ccm_wal_ltx::codec::{LtxDecoder, LtxEncoder, LtxHeader, merge};
use ccm_wal_ltx::wal::{FRAME_HEADER_LEN, WAL_HEADER_LEN, WalCursor, WalHeader};

/// Bytes that a merged file may have here: a small input may ask for any number of empty pages.
const OUTPUT_MAX: usize = 1 << 20;

/// Page size of repaired WALs.
const PAGE_SIZE: usize = 512;

/// Any bytes as an LTX file.
pub(crate) fn ltx(data: &[u8]) {
    if let Ok(header) = LtxHeader::parse(data) {
        assert_eq!(LtxHeader::parse(&header.to_bytes()).ok(), Some(header));
    }
    let Some((header, pages)) = read(data) else { return };
    // What is sound can be written, and is read as the same.
    let encoder = LtxEncoder::new(Vec::new(), header);
    assert!(encoder.is_ok(), "a header that was read is refused");
    let Ok(mut encoder) = encoder else { return };
    for (pgno, page) in &pages {
        assert!(encoder.page(*pgno, page).is_ok(), "page {pgno} is refused");
    }
    let again = encoder.finish().ok().and_then(|file| read(&file));
    assert!(again == Some((header, pages)), "it is read as something else");
}

type Pages = Vec<(u32, Vec<u8>)>;

/// A whole file, if it is sound.
fn read(data: &[u8]) -> Option<(LtxHeader, Pages)> {
    let mut decoder = LtxDecoder::new(data).ok()?;
    let header = *decoder.header();
    let (mut pages, mut page, mut previous): (Pages, _, _) = (Vec::new(), Vec::new(), 0);
    while let Some(pgno) = decoder.next_page(&mut page).ok()? {
        assert!(pgno > previous && pgno <= header.commit, "page {pgno} after {previous}");
        assert_eq!(page.len(), header.page_size as usize);
        previous = pgno;
        pages.push((pgno, page.clone()));
    }
    decoder.finish().ok()?;
    Some((header, pages))
}

/// A writer with an end.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Any bytes as files to merge, each with its length before it, two bytes, big-endian.
pub(crate) fn merging(mut data: &[u8]) {
    let mut files = Vec::new();
    while let Some((len, rest)) = data.split_first_chunk::<2>() {
        let (file, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*len).into()));
        files.push(file);
        data = rest;
    }
    if let Ok((merged, header)) = merge(files, Bounded(Vec::new())) {
        assert!(read(&merged.0).is_some_and(|(read, _)| read == header), "it is not sound");
    }
}

/// Any bytes as a WAL: as they are, and with checksums that fit.
pub(crate) fn wal(data: &[u8]) {
    scan(data);
    if let Some(repaired) = repaired(data) {
        scan(&repaired);
    }
}

fn scan(data: &[u8]) {
    let Some((header, frames)) = data.split_first_chunk::<WAL_HEADER_LEN>() else { return };
    let Ok(header) = WalHeader::parse(header) else { return };
    let start = WalCursor::start(&header);
    let whole = start.scan(frames);
    let page_size = header.page_size as usize;
    let mut end = start.offset;
    for commit in &whole.commits {
        assert!(commit.end_offset > end && commit.db_size_pages > 0);
        end = commit.end_offset;
        assert!(!commit.frames.is_empty());
        for (pgno, at) in &commit.frames {
            assert!(*pgno > 0 && frames.get(*at..*at + page_size).is_some());
        }
        let found = WalCursor::seek(&header, frames, end);
        assert_eq!(found.map(|cursor| cursor.offset), Some(end));
    }
    assert_eq!(whole.cursor.offset, end);
    assert!(end <= data.len() as u64);
    // What comes after a cursor is found from it.
    if let Some(first) = whole.commits.first() {
        let from = usize::try_from(first.end_offset).unwrap_or(usize::MAX);
        let Some(cursor) = WalCursor::seek(&header, frames, first.end_offset) else { return };
        let rest = cursor.scan(data.get(from..).unwrap_or_default());
        assert_eq!(rest.commits.len() + 1, whole.commits.len());
        assert_eq!(rest.cursor, whole.cursor);
    }
    // An offset that the data itself names is a boundary or is not, and breaks nothing.
    let named = u64::from(header.salt1) << 32 | u64::from(header.salt2);
    for offset in [named, u64::from(header.salt1), data.len() as u64] {
        let found = WalCursor::seek(&header, frames, offset);
        assert!(found.is_none_or(|cursor| cursor.offset == offset));
    }
}

/// The same with a valid header and, but for one frame in eight, salts and checksums that fit.
fn repaired(data: &[u8]) -> Option<Vec<u8>> {
    let mut data = data.to_vec();
    let (header, frames) = data.split_first_chunk_mut::<WAL_HEADER_LEN>()?;
    let big_endian = header[3] & 1 == 1;
    header[..4].copy_from_slice(&(0x377f_0682 | u32::from(big_endian)).to_be_bytes());
    header[4..8].copy_from_slice(&3_007_000_u32.to_be_bytes());
    header[8..12].copy_from_slice(&512_u32.to_be_bytes());
    let mut sum = sum((0, 0), &header[..24], big_endian);
    put(&mut header[24..32], sum);
    for frame in frames.chunks_exact_mut(FRAME_HEADER_LEN + PAGE_SIZE) {
        if frame[8] % 8 != 7 {
            frame[8..16].copy_from_slice(&header[16..24]);
            sum = self::sum(sum, &frame[..8], big_endian);
            sum = self::sum(sum, &frame[FRAME_HEADER_LEN..], big_endian);
            put(&mut frame[16..24], sum);
        }
    }
    Some(data)
}

fn put(field: &mut [u8], sum: (u32, u32)) {
    field[..4].copy_from_slice(&sum.0.to_be_bytes());
    field[4..].copy_from_slice(&sum.1.to_be_bytes());
}

/// SQLite's checksum of a WAL (file format document, section 4.2).
fn sum(mut sum: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    };
    for pair in bytes.chunks_exact(8) {
        sum.0 = sum.0.wrapping_add(word(&pair[..4])).wrapping_add(sum.1);
        sum.1 = sum.1.wrapping_add(word(&pair[4..])).wrapping_add(sum.0);
    }
    sum
}
