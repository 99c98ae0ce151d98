//! The layout of netlink(7) and rtnetlink(7): messages, and attributes in them. Numbers are in
//! the order of the machine.

/// A request.
pub(super) const REQUEST: u16 = 0x1;
/// Wants a reply that says whether it was done.
pub(super) const ACK: u16 = 0x4;
/// Wants everything there is.
pub(super) const DUMP: u16 = 0x300;
/// Wants a new thing, and no old one changed.
pub(super) const CREATE_NEW: u16 = 0x400 | 0x200;
/// In a reply: something changed while it was told, so it may be wrong.
pub(super) const INTERRUPTED: u16 = 0x10;

/// Kinds of messages that are not about anything.
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;

const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// The two highest bits of an attribute's type say how its content is written.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// One message as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// The messages of a datagram, up to the first that does not fit.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let message = Message {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            sequence: u32_at(datagram, 8)?,
            body: datagram.get(HEADER_BYTES..length)?,
        };
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in these bytes, type and content, up to the first that does not fit.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & ATTRIBUTE_TYPE_MASK;
        let content = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, content))
    })
}

/// A request with this body.
pub(super) fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    // The sender's port, which the kernel knows.
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// Puts an attribute at the end of a body. None here is longer than an interface's name.
pub(super) fn put_attribute(body: &mut Vec<u8>, kind: u16, content: &[u8]) {
    let length = ATTRIBUTE_HEADER_BYTES + content.len();
    body.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(content);
    body.resize(body.len() + aligned(length) - length, 0);
}

/// The error number in the body of [`ERROR`] or [`DONE`]: 0 when there was none.
pub(super) fn error_number(body: &[u8]) -> i32 {
    let bytes = body.get(..4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, |bytes| -i32::from_ne_bytes(bytes))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Everything begins at a multiple of four.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_comes_apart() {
        let mut body = vec![1, 2, 3, 4];
        put_attribute(&mut body, 3, b"eth0\0");
        put_attribute(&mut body, 8 | 0x8000, &7_u32.to_ne_bytes());
        assert_eq!(body.len(), 4 + 12 + 8);

        let mut datagram = request(22, DUMP, 9, &body);
        datagram.extend(request(DONE, 0, 10, &(-19_i32).to_ne_bytes()));
        let read: Vec<Message<'_>> = messages(&datagram).collect();
        assert_eq!(
            (read[0].kind, read[0].flags, read[0].sequence, read[0].body),
            (22, 0x301, 9, &body[..])
        );
        assert_eq!(error_number(read[1].body), 19);
        assert_eq!(read.len(), 2);

        let read: Vec<(u16, &[u8])> = attributes(&read[0].body[4..]).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (8, &7_u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn what_does_not_fit_ends_the_reading() {
        let mut body = Vec::new();
        put_attribute(&mut body, 1, &[10, 0, 0, 1]);
        let whole = request(20, 0, 1, &body);
        for length in 0..whole.len() {
            assert_eq!(messages(&whole[..length]).count(), 0, "{length}");
        }
        for length in 0..body.len() {
            assert_eq!(attributes(&body[..length]).count(), 0, "{length}");
        }
        // A length that does not even cover its own header.
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }
}
