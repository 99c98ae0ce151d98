//! An interface.

use super::message::{attributes, put_attribute, u16_at, u32_at};
use crate::Mac;

/// RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK.
pub(super) const NEW: u16 = 16;
pub(super) const DELETE: u16 = 17;
pub(super) const GET: u16 = 18;

/// Bytes of `struct ifinfomsg`.
const HEADER_BYTES: usize = 16;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;

/// Bits of `ifi_flags` (netdevice(7)).
const UP: u32 = 0x1;
const NOARP: u32 = 0x80;
const LOWER_UP: u32 = 0x1_0000;

/// `ifi_type` of everything that speaks Ethernet (ARPHRD_ETHER).
const ETHERNET: u16 = 1;

/// An interface as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Option<Mac>,
    flags: u32,
    kind: u16,
}

impl Link {
    /// What an RTM_NEWLINK or RTM_DELLINK is about.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let header = body.get(..HEADER_BYTES)?;
        let (mut mac, mut name) = (None, None);
        for (kind, content) in attributes(&body[HEADER_BYTES..]) {
            match kind {
                IFLA_ADDRESS => mac = Mac::from_slice(content),
                IFLA_IFNAME => {
                    let end = content.iter().position(|byte| *byte == 0);
                    let bytes = &content[..end.unwrap_or(content.len())];
                    name = Some(String::from_utf8_lossy(bytes).into_owned());
                }
                _other => {}
            }
        }
        Some(Self {
            index: u32_at(header, 4)?,
            name: name?,
            mac,
            flags: u32_at(header, 8)?,
            kind: u16_at(header, 2)?,
        })
    }

    /// Whether it is switched on.
    pub(crate) fn is_up(&self) -> bool {
        self.flags & UP != 0
    }

    /// Whether there is something at the other end.
    pub(crate) fn has_carrier(&self) -> bool {
        self.flags & LOWER_UP != 0
    }

    /// The address it speaks from, when there are neighbours to speak to.
    pub(crate) fn speaks_from(&self) -> Option<Mac> {
        let neighbours = self.kind == ETHERNET && self.flags & NOARP == 0;
        self.mac.filter(|_| neighbours)
    }
}

/// The body of a request for the interface with this name.
pub(super) fn named_body(name: &str) -> Vec<u8> {
    let mut body = vec![0; HEADER_BYTES];
    let mut bytes = Vec::from(name);
    bytes.push(0);
    put_attribute(&mut body, IFLA_IFNAME, &bytes);
    body
}

/// The body of a request for the interface with this index; all of them when it is 0.
pub(super) fn indexed_body(index: u32) -> Vec<u8> {
    let mut body = vec![0; HEADER_BYTES];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(kind: u16, flags: u32) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend(kind.to_ne_bytes());
        body.extend(7_u32.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        put_attribute(&mut body, IFLA_IFNAME, b"eth0\0");
        put_attribute(&mut body, IFLA_ADDRESS, &[2, 0, 0, 0, 0, 0xa]);
        body
    }

    #[test]
    fn an_interface_is_what_the_kernel_says() {
        let link = Link::parse(&body(ETHERNET, UP | LOWER_UP)).unwrap();
        assert_eq!((link.index, link.name.as_str()), (7, "eth0"));
        assert_eq!(link.speaks_from(), Some(Mac::new([2, 0, 0, 0, 0, 0xa])));
        assert!(link.is_up() && link.has_carrier());

        let link = Link::parse(&body(ETHERNET, UP | NOARP)).unwrap();
        assert!(link.is_up() && !link.has_carrier());
        assert_eq!(link.speaks_from(), None);
        // The loopback interface.
        assert_eq!(Link::parse(&body(772, UP)).unwrap().speaks_from(), None);
        assert_eq!(Link::parse(&body(ETHERNET, 0)[..16]), None);
    }

    #[test]
    fn requests_name_one_interface() {
        let named = named_body("eth0");
        assert_eq!(attributes(&named[16..]).next(), Some((IFLA_IFNAME, &b"eth0\0"[..])));
        assert_eq!(u32_at(&indexed_body(7), 4), Some(7));
    }
}
