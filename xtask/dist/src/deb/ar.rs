//! The container of a Debian package, as in deb(5).

/// Before the first member.
const MAGIC: &[u8] = b"!<arch>\n";
/// Mode of a regular file that everybody may read.
const MODE: u32 = 0o100_644;

/// The members one after the other, each behind a header of 60 bytes and on an even offset.
pub(super) fn archive(time: u32, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = MAGIC.to_vec();
    for (name, bytes) in members {
        let size = bytes.len();
        let header = format!("{name:<16}{time:<12}{:<6}{:<6}{MODE:<8o}{size:<10}`\n", 0, 0);
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        if size % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_headers_of_60_bytes_and_begin_at_even_offsets() {
        let archive = archive(7, &[("odd", b"abc"), ("even", b"wxyz")]);
        let text = String::from_utf8(archive).unwrap();
        let first = "odd             7           0     0     100644  3         `\nabc\n";
        assert_eq!(first.len(), 64);
        assert!(text.starts_with(&format!("!<arch>\n{first}even ")), "{text}");
        assert_eq!(text.len(), 8 + 64 + 64);
    }
}
