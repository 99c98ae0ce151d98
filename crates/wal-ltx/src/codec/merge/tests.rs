//! Applying the merged file is applying its inputs one after another.

use std::collections::BTreeMap;

use ccm_types::Txid;

use super::*;
use crate::codec::HEADER_LEN;

/// A small generator with a seed: xorshift.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(limit)).unwrap()
    }
}

fn header(min: u64, max: u64, page_size: u32, commit: u32) -> LtxHeader {
    LtxHeader {
        page_size,
        commit,
        min: Txid::new(min),
        max: Txid::new(max),
        timestamp_ms: i64::try_from(max).unwrap() * 1000,
        wal_offset: 32,
        wal_size: 4120,
        wal_salt1: 7,
        wal_salt2: 8,
    }
}

/// Page content that says who wrote it.
fn content(page_size: u32, pgno: u32, txid: u64) -> Vec<u8> {
    format!("{pgno}/{txid} ").into_bytes().into_iter().cycle().take(page_size as usize).collect()
}

fn file(header: LtxHeader, pages: &[u32]) -> Vec<u8> {
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    for &pgno in pages {
        encoder.page(pgno, &content(header.page_size, pgno, header.max.get())).unwrap();
    }
    encoder.finish().unwrap()
}

/// What a replica does: pages in place, then the size.
fn apply(database: &mut Vec<u8>, file: &[u8]) -> LtxHeader {
    let mut decoder = LtxDecoder::new(file).unwrap();
    let header = *decoder.header();
    let size = header.page_size as usize;
    let mut page = Vec::new();
    while let Some(pgno) = decoder.next_page(&mut page).unwrap() {
        let at = (pgno as usize - 1) * size;
        if database.len() < at + size {
            database.resize(at + size, 0);
        }
        database[at..at + size].copy_from_slice(&page);
    }
    decoder.finish().unwrap();
    database.resize(header.commit as usize * size, 0);
    header
}

fn merged(files: &[Vec<u8>]) -> Result<(Vec<u8>, LtxHeader), MergeError> {
    merge(files.iter().map(Vec::as_slice), Vec::new())
}

/// A history that grows, shrinks and leaves pages out, from transaction `first` on.
fn history(random: &mut Random, page_size: u32, first: u64, files: u32) -> Vec<Vec<u8>> {
    let mut made = Vec::new();
    let mut min = first;
    for _ in 0..files {
        let max = min + u64::from(random.below(3));
        let commit = 1 + random.below(40);
        let pages: Vec<u32> = (1..=commit).filter(|_| min == 1 || random.below(3) == 0).collect();
        made.push(file(header(min, max, page_size, commit), &pages));
        min = max + 1;
    }
    made
}

#[test]
fn applying_the_merged_file_is_applying_its_inputs_in_order() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let page_size = 512 << random.below(8);
        let first = 1 + u64::from(random.below(2)) * 6;
        let count = 1 + random.below(6);
        let files = history(&mut random, page_size, first, count);
        let pages = if first == 1 { 0 } else { random.below(50) };
        let base: Vec<u8> = (1..=pages).flat_map(|p| content(page_size, p, 0)).collect();
        let mut expected = base.clone();
        let headers: Vec<_> = files.iter().map(|file| apply(&mut expected, file)).collect();
        let (bytes, header) = merged(&files).unwrap();
        let mut database = base;
        assert_eq!(apply(&mut database, &bytes), header, "seed {seed}");
        assert!(database == expected, "seed {seed}: another database");
        let (oldest, newest) = (headers[0], headers[headers.len() - 1]);
        assert_eq!((header.min, header.max), (oldest.min, newest.max));
        assert_eq!((header.commit, header.timestamp_ms), (newest.commit, newest.timestamp_ms));
        assert_eq!((header.wal_offset, header.wal_size, header.wal_salt1), (0, 0, 0));
    }
}

#[test]
fn merging_in_steps_is_merging_at_once() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let files = history(&mut random, 512, 1, 7);
        let split = 1 + random.below(6) as usize;
        let (left, right) = files.split_at(split);
        let halves = [merged(left).unwrap().0, merged(right).unwrap().0];
        assert!(merged(&halves).unwrap().0 == merged(&files).unwrap().0, "seed {seed}");
    }
}

#[test]
fn the_newest_version_of_a_page_wins_and_what_was_cut_off_is_gone() {
    let page = |commit, txid, pages: &[u32]| file(header(txid, txid, 512, commit), pages);
    // Shrinks to 2 pages, then grows to 5 and writes only page 4.
    let files = [page(6, 8, &[1, 3, 6]), page(2, 9, &[2]), page(5, 10, &[1, 4])];
    let (bytes, _) = merged(&files).unwrap();
    let mut decoder = LtxDecoder::new(&bytes[..]).unwrap();
    let (mut pages, mut data) = (BTreeMap::new(), Vec::new());
    while let Some(pgno) = decoder.next_page(&mut data).unwrap() {
        pages.insert(pgno, data.clone());
    }
    let zeros = vec![0; 512];
    let expected = [
        (1, content(512, 1, 10)),
        (2, content(512, 2, 9)),
        (3, zeros.clone()),
        (4, content(512, 4, 10)),
        (5, zeros),
    ];
    assert_eq!(pages, BTreeMap::from(expected));
}

#[test]
fn the_lock_page_is_never_filled() {
    let lock = lock_page(65536);
    let files = [
        file(header(2, 2, 65536, lock - 1), &[]),
        file(header(3, 3, 65536, lock + 1), &[lock + 1]),
    ];
    let (bytes, _) = merged(&files).unwrap();
    let mut decoder = LtxDecoder::new(&bytes[..]).unwrap();
    assert_eq!(decoder.next_page(&mut Vec::new()).unwrap(), Some(lock + 1));
    decoder.finish().unwrap();
}

#[test]
fn files_that_overlap_are_merged_and_holes_are_refused() {
    let one = |min, max| file(header(min, max, 512, 3), &[1, 2]);
    assert!(merged(&[one(5, 7), one(6, 9)]).is_ok());
    let bad = [(8, 9), (5, 6), (4, 9)];
    for (min, max) in bad {
        let error = merged(&[one(5, 6), one(min, max)]).unwrap_err();
        assert!(matches!(error, MergeError::Unfit { index: 1, .. }), "{min}-{max}: {error}");
    }
    let other = file(header(7, 7, 1024, 3), &[1]);
    assert!(matches!(merged(&[one(5, 6), other]), Err(MergeError::Unfit { index: 1, .. })));
    assert!(matches!(merged(&[]), Err(MergeError::Nothing)));
}

#[test]
fn a_damaged_input_is_named_even_if_none_of_its_pages_count() {
    let old = file(header(5, 5, 512, 3), &[1, 2]);
    let new = file(header(6, 6, 512, 3), &[1, 2, 3]);
    for at in [HEADER_LEN - 1, HEADER_LEN + 12, old.len() - 1] {
        let mut damaged = old.clone();
        damaged[at] ^= 1;
        let error = merged(&[damaged, new.clone()]).unwrap_err();
        assert!(matches!(error, MergeError::Input { index: 0, .. }), "{at}: {error}");
    }
    let error = merged(&[old.clone(), new[..new.len() - 1].to_vec()]).unwrap_err();
    assert!(matches!(error, MergeError::Input { index: 1, .. }), "{error}");
    let full = merge([&old[..], &new[..]], &mut [0_u8; 120][..]).unwrap_err();
    assert!(matches!(full, MergeError::Output(_)), "{full}");
}
