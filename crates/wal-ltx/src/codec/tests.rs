//! Round trips, a file of the real Litestream, and every way to damage one.

use std::io::Cursor;

use ccm_types::Txid;

use super::*;

/// Written by Litestream 0.5.17: TXID 12, one page of a database of four.
const SAMPLE: &[u8] = include_bytes!("../../testdata/sample-l0.ltx");

fn header(min: u64, max: u64, page_size: u32, commit: u32) -> LtxHeader {
    LtxHeader {
        page_size,
        commit,
        min: Txid::new(min),
        max: Txid::new(max),
        timestamp_ms: 1_795_426_312_407,
        wal_offset: 32,
        wal_size: 4120,
        wal_salt1: 7,
        wal_salt2: 8,
    }
}

/// Page content that compresses (even numbers) or does not (odd numbers).
fn page(pgno: u32, page_size: u32) -> Vec<u8> {
    let mut state = u64::from(pgno) | 1;
    let noise = (0..page_size).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        if pgno.is_multiple_of(2) { 7 } else { state.to_be_bytes()[0] }
    });
    noise.collect()
}

fn encode(header: LtxHeader, pages: &[u32]) -> Result<Vec<u8>, LtxError> {
    let mut encoder = LtxEncoder::new(Vec::new(), header)?;
    for &pgno in pages {
        encoder.page(pgno, &page(pgno, header.page_size))?;
    }
    encoder.finish()
}

type Pages = Vec<(u32, Vec<u8>)>;

fn decode(bytes: &[u8]) -> Result<(LtxHeader, Pages), LtxError> {
    let mut decoder = LtxDecoder::new(Cursor::new(bytes))?;
    let mut pages = Vec::new();
    let mut buf = Vec::new();
    while let Some(pgno) = decoder.next_page(&mut buf)? {
        pages.push((pgno, buf.clone()));
    }
    let header = *decoder.header();
    decoder.finish()?;
    Ok((header, pages))
}

#[test]
fn a_file_of_litestream_is_read_and_its_header_is_written_byte_for_byte() {
    let (header, pages) = decode(SAMPLE).unwrap();
    let expected = LtxHeader {
        page_size: 4096,
        commit: 4,
        min: Txid::new(12),
        max: Txid::new(12),
        timestamp_ms: 1_795_426_312_407,
        wal_offset: 74192,
        wal_size: 4120,
        wal_salt1: 0xc074_214b,
        wal_salt2: 0xce31_b51a,
    };
    assert_eq!(header, expected);
    assert!(!header.is_snapshot());
    assert_eq!(header.to_bytes(), SAMPLE[..HEADER_LEN]);
    assert_eq!(
        pages.iter().map(|(pgno, data)| (*pgno, data.len())).collect::<Vec<_>>(),
        [(2, 4096)]
    );
}

#[test]
fn what_is_written_is_read_back_for_every_page_size() {
    for shift in 9..=16 {
        let header = header(5, 9, 1 << shift, 40);
        let bytes = encode(header, &[1, 2, 3, 17, 40]).unwrap();
        let (read, pages) = decode(&bytes).unwrap();
        assert_eq!(read, header);
        let expected: Vec<_> = [1, 2, 3, 17, 40].map(|n| (n, page(n, 1 << shift))).into();
        assert_eq!(pages, expected);
    }
    assert_eq!(decode(&encode(header(2, 2, 512, 3), &[]).unwrap()).unwrap().1, []);
}

#[test]
fn finish_verifies_pages_that_were_not_asked_for() {
    let bytes = encode(header(2, 2, 512, 3), &[1, 3]).unwrap();
    LtxDecoder::new(&bytes[..]).unwrap().finish().unwrap();
}

#[test]
fn pages_out_of_order_or_out_of_range_are_refused() {
    let cases: [(&[u32], &str); 5] = [
        (&[0], "count from 1"),
        (&[2, 2], "comes after page 2"),
        (&[3, 1], "comes after page 3"),
        (&[5], "has 4 pages"),
        (&[1, 2, 3, 4, 5], "has 4 pages"),
    ];
    for (pages, why) in cases {
        let error = encode(header(2, 2, 512, 4), pages).unwrap_err();
        assert!(matches!(error, LtxError::Page { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let mut encoder = LtxEncoder::new(Vec::new(), header(2, 2, 512, 4)).unwrap();
    assert!(matches!(encoder.page(1, &[0; 511]), Err(LtxError::Page { pgno: 1, .. })));
}

#[test]
fn a_snapshot_takes_every_page() {
    assert!(encode(header(1, 3, 512, 3), &[1, 2, 3]).is_ok());
    for (pages, missing) in [(&[1, 2][..], 3), (&[1, 3], 2), (&[2, 3], 1), (&[], 1)] {
        let error = encode(header(1, 3, 512, 3), pages).unwrap_err();
        assert!(
            matches!(error, LtxError::Incomplete { commit: 3, missing: m } if m == missing),
            "{pages:?}: {error}"
        );
    }
}

#[test]
fn the_lock_page_is_never_part_of_a_file() {
    assert_eq!(lock_page(4096), 262_145);
    assert_eq!(lock_page(65536), 16385);
    let header = header(2, 2, 65536, 20000);
    let error = encode(header, &[lock_page(65536)]).unwrap_err();
    assert!(error.to_string().contains("lock page"), "{error}");
    assert_eq!(following_page(16384, 65536), 16386);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = encode(header(2, 3, 512, 9), &[1, 2, 7]).unwrap();
    for len in 0..bytes.len() {
        let error = decode(&bytes[..len]).unwrap_err();
        assert!(matches!(error, LtxError::Truncated { .. }), "{len}: {error}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(decode(&longer), Err(LtxError::Tail { .. })));
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_changes_what_is_read() {
    for bytes in [SAMPLE.to_vec(), encode(header(1, 3, 512, 3), &[1, 2, 3]).unwrap()] {
        // LZ4 has more than one encoding of a page, and the checksum covers the page.
        let good = decode(&bytes).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let same = decode(&damaged).is_ok_and(|read| read == good);
                assert!(same || decode(&damaged).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn a_hostile_length_is_refused_before_it_is_allocated() {
    let mut bytes = SAMPLE.to_vec();
    bytes[106..110].copy_from_slice(&u32::MAX.to_be_bytes());
    let error = decode(&bytes).unwrap_err();
    assert!(error.to_string().contains("compressed length of 4294967295"), "{error}");
}

#[test]
fn headers_that_break_the_format_are_refused() {
    let good = header(2, 3, 512, 9);
    let bad = [
        LtxHeader { page_size: 256, ..good },
        LtxHeader { page_size: 1000, ..good },
        LtxHeader { page_size: 131_072, ..good },
        LtxHeader { min: Txid::ZERO, ..good },
        LtxHeader { min: Txid::new(4), ..good },
        LtxHeader { wal_offset: 0, ..good },
        LtxHeader { wal_size: u64::MAX, ..good },
    ];
    for header in bad {
        assert!(matches!(encode(header, &[]), Err(LtxError::Header { .. })), "{header:?}");
        assert!(matches!(LtxHeader::parse(&header.to_bytes()), Err(LtxError::Header { .. })));
    }
    for (at, byte) in [(7, 0), (7, 3), (40, 1)] {
        let mut bytes = good.to_bytes();
        bytes[at] = byte;
        assert!(matches!(LtxHeader::parse(&bytes), Err(LtxError::Header { .. })), "{at}");
    }
    assert!(matches!(LtxHeader::parse(b"LTX1"), Err(LtxError::Truncated { .. })));
    assert!(matches!(LtxHeader::parse(&[0; 100]), Err(LtxError::NotLtx { .. })));
}
