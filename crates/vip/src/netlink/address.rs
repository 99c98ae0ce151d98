//! An address on an interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{attributes, put_attribute, u32_at};

/// RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR.
pub(super) const NEW: u16 = 20;
pub(super) const DELETE: u16 = 21;
pub(super) const GET: u16 = 22;

/// Bytes of `struct ifaddrmsg`.
const HEADER_BYTES: usize = 8;

/// The far end of a point-to-point address, else the address.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Bits of IFA_FLAGS (linux/if_addr.h).
const SECONDARY: u32 = 0x01;
const NODAD: u32 = 0x02;
const OPTIMISTIC: u32 = 0x04;
const DADFAILED: u32 = 0x08;
const TENTATIVE: u32 = 0x40;

/// An address that an interface has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) local: IpAddr,
    pub(crate) prefix_len: u8,
    /// The interface.
    pub(crate) index: u32,
    flags: u32,
    /// As the kernel described it, to name it or to put it back exactly.
    body: Vec<u8>,
}

impl Address {
    /// What an RTM_NEWADDR or RTM_DELADDR is about.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let header = body.get(..HEADER_BYTES)?;
        let mut flags = u32::from(header[2]);
        let (mut near, mut far) = (None, None);
        for (kind, content) in attributes(&body[HEADER_BYTES..]) {
            match kind {
                IFA_ADDRESS => far = ip(header[0], content),
                IFA_LOCAL => near = ip(header[0], content),
                IFA_FLAGS => flags = u32_at(content, 0)?,
                _other => {}
            }
        }
        Some(Self {
            // IPv6 has a near end only where it differs from the far one.
            local: near.or(far)?,
            prefix_len: header[1],
            index: u32_at(header, 4)?,
            flags,
            body: body.to_vec(),
        })
    }

    /// Whether the host answers for it: duplicate address detection of IPv6 has not failed, and
    /// does not go on either.
    pub(crate) fn is_usable(&self) -> bool {
        match self.local {
            IpAddr::V4(_) => true,
            IpAddr::V6(_) => {
                let waits = self.flags & TENTATIVE != 0 && self.flags & OPTIMISTIC == 0;
                self.flags & DADFAILED == 0 && !waits
            }
        }
    }

    /// Whether the kernel takes it off when it takes off another of the same subnet.
    pub(crate) fn is_secondary(&self) -> bool {
        self.local.is_ipv4() && self.flags & SECONDARY != 0
    }

    /// Whether they are one to the kernel, whatever their flags and lifetimes.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let key = |address: &Self| (address.index, address.local, address.prefix_len);
        key(self) == key(other)
    }

    /// The body of a request that names it.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The body of a request for a new address.
pub(super) fn new_body(address: IpAddr, prefix_len: u8, index: u32) -> Vec<u8> {
    let mut body = vec![family(address), prefix_len, 0, 0];
    body.extend(index.to_ne_bytes());
    let mut put = |octets: &[u8]| {
        put_attribute(&mut body, IFA_LOCAL, octets);
        put_attribute(&mut body, IFA_ADDRESS, octets);
    };
    match address {
        IpAddr::V4(address) => put(&address.octets()),
        IpAddr::V6(address) => {
            put(&address.octets());
            // Usable at once: whether it is free has been asked by the time it is added.
            put_attribute(&mut body, IFA_FLAGS, &NODAD.to_ne_bytes());
        }
    }
    body
}

/// The body of a request for all addresses of the family of `address`.
pub(super) fn all_body(address: IpAddr) -> Vec<u8> {
    vec![family(address), 0, 0, 0, 0, 0, 0, 0]
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

fn ip(family: u8, content: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(content).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        AF_INET6 => <[u8; 16]>::try_from(content).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_address_has_the_layout_of_the_kernel() {
        let mut expected = vec![2, 24, 0, 0];
        expected.extend(7_u32.to_ne_bytes());
        for kind in [2_u16, 1] {
            expected.extend(8_u16.to_ne_bytes());
            expected.extend(kind.to_ne_bytes());
            expected.extend([10, 0, 1, 100]);
        }
        assert_eq!(new_body("10.0.1.100".parse().unwrap(), 24, 7), expected);

        let six = Address::parse(&new_body("2001:db8::10".parse().unwrap(), 64, 7)).unwrap();
        assert_eq!((six.local, six.flags), ("2001:db8::10".parse().unwrap(), NODAD));
        assert_eq!((six.prefix_len, six.index), (64, 7));
        assert_eq!(all_body(six.local), [10, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_near_end_of_a_point_to_point_address_is_ours() {
        let mut body = vec![AF_INET, 32, 0, 0, 1, 0, 0, 0];
        put_attribute(&mut body, IFA_ADDRESS, &[10, 0, 0, 2]);
        put_attribute(&mut body, IFA_LOCAL, &[10, 0, 0, 1]);
        assert_eq!(Address::parse(&body).unwrap().local, IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn flags_say_whether_it_is_usable() {
        let parsed = |address: &str, flags: u32| {
            let mut body = new_body(address.parse().unwrap(), 24, 1);
            put_attribute(&mut body, IFA_FLAGS, &flags.to_ne_bytes());
            Address::parse(&body).unwrap()
        };
        for (address, flags, usable) in [
            ("10.0.0.1", SECONDARY, true),
            ("2001:db8::1", NODAD, true),
            ("2001:db8::1", TENTATIVE, false),
            ("2001:db8::1", TENTATIVE | OPTIMISTIC, true),
            ("2001:db8::1", DADFAILED, false),
        ] {
            assert_eq!(parsed(address, flags).is_usable(), usable, "{address} {flags:#x}");
        }
        assert!(parsed("10.0.0.1", SECONDARY).is_secondary());
        // The same bit means a temporary address in IPv6.
        assert!(!parsed("2001:db8::1", SECONDARY).is_secondary());
    }

    #[test]
    fn what_is_no_address_is_none() {
        let whole = new_body("10.0.1.100".parse().unwrap(), 24, 7);
        for length in 0..16 {
            assert_eq!(Address::parse(&whole[..length]), None, "{length}");
        }
        // An address of a family that is not known here.
        let mut odd = whole;
        odd[0] = 99;
        assert_eq!(Address::parse(&odd), None);
    }
}
