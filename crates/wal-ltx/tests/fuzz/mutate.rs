//! A small mutator: a file of the corpus with a few things changed.

use crate::dice::Dice;

/// Bytes an input may have.
const LEN_MAX: usize = 16 << 10;

/// Numbers at which something often ends.
const BORDERS: [u32; 10] = [0, 1, 2, 0x7f, 0x80, 0xff, 512, 65536, 0x7fff_ffff, u32::MAX];

pub(crate) fn mutate(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pick(dice, corpus).clone();
    for _ in 0..dice.among(1..6) {
        change(dice, &mut bytes, corpus);
    }
    bytes.truncate(LEN_MAX);
    bytes
}

fn pick<'a>(dice: &mut Dice, corpus: &'a [Vec<u8>]) -> &'a Vec<u8> {
    &corpus[index(dice, corpus.len())]
}

/// An index below `len`; 0 when there is none.
fn index(dice: &mut Dice, len: usize) -> usize {
    usize::try_from(dice.among(0..(len as u64).max(1))).unwrap()
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    // Headers decide more than pages.
    let near = if dice.once_in(2) { bytes.len().min(120) } else { bytes.len() };
    let at = index(dice, near);
    let to = (at + 1 + index(dice, 64)).min(bytes.len());
    let from = at.min(to);
    match dice.among(0..9) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.among(0..8),
        2 if at < bytes.len() => bytes[at] = u8::try_from(dice.among(0..256)).unwrap(),
        3 if at + 4 <= bytes.len() => {
            let border =
                dice.one_of(&BORDERS).wrapping_add(u32::try_from(dice.among(0..3)).unwrap());
            bytes[at..at + 4].copy_from_slice(&border.wrapping_sub(1).to_be_bytes());
        }
        4 => drop(bytes.drain(from..to)),
        5 => {
            let part = bytes[from..to].to_vec();
            bytes.splice(at..at, part);
        }
        6 => bytes.truncate(at),
        7 => {
            let other = pick(dice, corpus);
            let begin = index(dice, other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[begin..]);
        }
        _ => {
            let noise: Vec<u8> =
                (0..dice.among(1..40)).map(|_| dice.next().to_le_bytes()[0]).collect();
            let end = (at + noise.len()).min(bytes.len());
            bytes.splice(at.min(end)..end, noise);
        }
    }
}
