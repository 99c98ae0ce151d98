//! A database that is only pages: any number of them may be written, grow and go at once.

use std::ops::RangeInclusive;

use bytes::Bytes;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::apply::{Content, Fetched};
use ccm_wal_ltx::codec::{LtxDecoder, LtxEncoder, LtxHeader, merge};
use ccm_wal_ltx::store::{Level, LtxInfo, LtxName};

use crate::dice::Dice;

/// Pages that a database has at most.
const PAGES_MAX: u64 = 40;

/// A page with content that compresses more or less.
pub(crate) fn page(dice: &mut Dice, size: usize) -> Vec<u8> {
    let noise = usize::try_from(dice.among(0..size as u64 + 1)).unwrap();
    let mut page = vec![u8::try_from(dice.among(0..256)).unwrap(); size];
    for word in page[..noise].chunks_mut(8) {
        let bytes = dice.next().to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
    page
}

/// Every state of a database, and the file that leads to each from the one before.
pub(crate) struct History {
    pub(crate) page_size: u32,
    /// After each transaction, transaction 1 first.
    images: Vec<Vec<u8>>,
    files: Vec<Vec<u8>>,
}

impl History {
    pub(crate) fn new(dice: &mut Dice, transactions: u64) -> Self {
        let page_size = dice.one_of(&[512, 512, 1024, 4096, 65536]);
        let mut history = Self { page_size, images: Vec::new(), files: Vec::new() };
        (0..transactions).for_each(|_| history.commit(dice));
        history
    }

    fn commit(&mut self, dice: &mut Dice) {
        let size = self.page_size as usize;
        let mut image = self.images.last().cloned().unwrap_or_default();
        let before = image.len() / size;
        let pages = match dice.among(0..4) {
            0 => dice.among(1..PAGES_MAX),
            1 => (before as u64 + dice.among(0..5)).clamp(1, PAGES_MAX),
            _ => (before as u64).max(1),
        };
        let pages = usize::try_from(pages).unwrap();
        image.resize(pages * size, 0);
        let txid = self.tip() + 1;
        let density = dice.among(1..8);
        let mut encoder = LtxEncoder::new(Vec::new(), self.header(txid, pages)).unwrap();
        for (n, content) in image.chunks_mut(size).enumerate() {
            // What the database has grown by is written, also where nobody has.
            if n >= before || dice.once_in(density) {
                if !dice.once_in(5) {
                    content.copy_from_slice(&page(dice, size));
                }
                encoder.page(u32::try_from(n).unwrap() + 1, content).unwrap();
            }
        }
        self.files.push(encoder.finish().unwrap());
        self.images.push(image);
    }

    fn header(&self, txid: u64, pages: usize) -> LtxHeader {
        LtxHeader {
            page_size: self.page_size,
            commit: u32::try_from(pages).unwrap(),
            min: Txid::new(txid),
            max: Txid::new(txid),
            timestamp_ms: i64::try_from(txid).unwrap() * 1000,
            wal_offset: 32,
            wal_size: 0,
            wal_salt1: 0,
            wal_salt2: 0,
        }
    }

    /// The last transaction.
    pub(crate) fn tip(&self) -> u64 {
        self.images.len() as u64
    }

    /// The database after a transaction.
    pub(crate) fn image(&self, txid: u64) -> &[u8] {
        &self.images[usize::try_from(txid).unwrap() - 1]
    }

    /// The files of these transactions, one each.
    pub(crate) fn files(&self, range: RangeInclusive<u64>) -> &[Vec<u8>] {
        let at = |txid: &u64| usize::try_from(*txid).unwrap() - 1;
        &self.files[at(range.start())..=at(range.end())]
    }

    /// These transactions as one file; a merged one is merged in two ways and must be the same.
    pub(crate) fn merged(&self, dice: &mut Dice, range: RangeInclusive<u64>) -> Vec<u8> {
        let files = self.files(range);
        if let [one] = files {
            return one.clone();
        }
        let at_once = merged(files);
        let middle = usize::try_from(dice.among(1..files.len() as u64)).unwrap();
        let in_steps = merged(&[merged(&files[..middle]), merged(&files[middle..])]);
        assert!(at_once == in_steps, "merging is not associative");
        at_once
    }

    pub(crate) fn fetched(&self, dice: &mut Dice, range: RangeInclusive<u64>) -> Fetched {
        let (min, max) = (Txid::new(*range.start()), Txid::new(*range.end()));
        let content = self.merged(dice, range);
        let info = LtxInfo {
            name: LtxName { level: Level::L0, min, max },
            size: content.len() as u64,
            timestamp_ms: i64::try_from(max.get()).unwrap() * 1000,
            epoch: Some(Epoch::new(1)),
        };
        Fetched { info, content: Content::Memory(Bytes::from(content)) }
    }
}

fn merged(files: &[Vec<u8>]) -> Vec<u8> {
    merge(files.iter().map(Vec::as_slice), Vec::new()).unwrap().0
}

/// What a file makes of a database: its pages in place, then its size.
pub(crate) fn apply(database: &mut Vec<u8>, file: &[u8]) {
    let mut decoder = LtxDecoder::new(file).unwrap();
    let header = *decoder.header();
    let size = header.page_size as usize;
    let mut page = Vec::new();
    while let Some(pgno) = decoder.next_page(&mut page).unwrap() {
        let at = (pgno as usize - 1) * size;
        database.resize(database.len().max(at + size), 0);
        database[at..at + size].copy_from_slice(&page);
    }
    decoder.finish().unwrap();
    database.resize(header.commit as usize * size, 0);
}
