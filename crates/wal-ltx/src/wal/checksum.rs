//! The WAL's running checksum: two sums over pairs of 32-bit words.

/// Continues `sum` over `bytes`, whose length is a multiple of eight.
pub(super) fn extend(sum: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |b: &[u8; 4]| {
        if big_endian { u32::from_be_bytes(*b) } else { u32::from_le_bytes(*b) }
    };
    let (mut s0, mut s1) = sum;
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    for [first, second] in pairs {
        s0 = s0.wrapping_add(word(first)).wrapping_add(s1);
        s1 = s1.wrapping_add(word(second)).wrapping_add(s0);
    }
    (s0, s1)
}
