//! LTX files: what is written is read, and merging is applying one after the other.

use ccm_types::Txid;
use ccm_wal_ltx::codec::{LtxDecoder, LtxEncoder, LtxHeader, lock_page};

use crate::dice::Dice;
use crate::for_all;
use crate::history::{History, apply, page};

/// Any header that the format allows.
fn header(dice: &mut Dice) -> LtxHeader {
    let min = if dice.once_in(3) { 1 } else { 1 + dice.next() / 4 };
    let from_wal = dice.once_in(2);
    let any =
        |dice: &mut Dice| if from_wal { u32::try_from(dice.among(0..1 << 32)).unwrap() } else { 0 };
    LtxHeader {
        page_size: 512 << dice.among(0..8),
        commit: 0,
        min: Txid::new(min),
        max: Txid::new(min + dice.among(0..3)),
        timestamp_ms: dice.next().cast_signed(),
        wal_offset: if from_wal { 32 + dice.next() / 4 } else { 0 },
        wal_size: if from_wal { dice.next() / 4 } else { 0 },
        wal_salt1: any(dice),
        wal_salt2: any(dice),
    }
}

/// Page numbers that may be in a file with this header, in order; some lie around the lock page.
fn numbers(dice: &mut Dice, header: &mut LtxHeader) -> Vec<u32> {
    let count = u32::try_from(dice.among(0..30)).unwrap();
    if header.is_snapshot() {
        header.commit = count;
        return (1..=count).collect();
    }
    let mut at = if dice.once_in(2) { lock_page(header.page_size).saturating_sub(15) } else { 0 };
    let mut numbers = Vec::new();
    for _ in 0..count {
        at += u32::try_from(dice.among(1..4)).unwrap();
        if at != lock_page(header.page_size) {
            numbers.push(at);
        }
    }
    header.commit = at + u32::try_from(dice.among(0..3)).unwrap();
    numbers
}

#[test]
fn what_is_written_is_read() {
    for_all(300, |dice| {
        let mut header = header(dice);
        let numbers = numbers(dice, &mut header);
        let size = header.page_size as usize;
        let pages: Vec<(u32, Vec<u8>)> =
            numbers.into_iter().map(|pgno| (pgno, page(dice, size))).collect();
        let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
        for (pgno, page) in &pages {
            encoder.page(*pgno, page).unwrap();
        }
        let file = encoder.finish().unwrap();
        let mut decoder = LtxDecoder::new(&file[..]).unwrap();
        assert_eq!(*decoder.header(), header);
        let (mut read, mut content) = (Vec::new(), Vec::new());
        while let Some(pgno) = decoder.next_page(&mut content).unwrap() {
            read.push((pgno, content.clone()));
        }
        decoder.finish().unwrap();
        assert!(read == pages);
    });
}

#[test]
fn a_damaged_file_is_never_taken_for_a_sound_one() {
    for_all(300, |dice| {
        let history = History::new(dice, 1);
        let mut file = history.files(1..=1)[0].clone();
        let at = usize::try_from(dice.among(0..file.len() as u64)).unwrap();
        file[at] ^= 1 << dice.among(0..8);
        let sound = LtxDecoder::new(&file[..]).and_then(LtxDecoder::finish);
        // The one thing that a page's compressed form may differ in is how it is compressed.
        let mut database = Vec::new();
        if sound.is_ok() {
            apply(&mut database, &file);
            assert!(database == history.image(1), "byte {at}");
        }
    });
}

#[test]
fn merging_is_applying_one_after_the_other() {
    for_all(150, |dice| {
        let transactions = dice.among(2..12);
        let history = History::new(dice, transactions);
        let min = dice.among(1..transactions);
        let max = dice.among(min + 1..transactions + 1);
        let mut database = if min == 1 { Vec::new() } else { history.image(min - 1).to_vec() };
        apply(&mut database, &history.merged(dice, min..=max));
        assert!(database == history.image(max), "transactions {min} to {max}");
    });
}
