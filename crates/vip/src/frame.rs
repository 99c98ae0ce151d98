//! The frames that ask for an address, announce it, and claim it.

mod arp;
mod filter;
mod ndp;

use std::net::IpAddr;

use crate::Mac;

pub(crate) use filter::claims;

/// Types of what an Ethernet frame carries.
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Bytes of an Ethernet header without a VLAN tag.
const ETHERNET_BYTES: usize = 14;

/// What another host says about the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It has it.
    Holder(Mac),
    /// It asks whether it may take it.
    Prober(Mac),
}

impl Claim {
    /// Who says so.
    pub(crate) fn mac(self) -> Mac {
        match self {
            Self::Holder(mac) | Self::Prober(mac) => mac,
        }
    }
}

/// What an Ethernet frame about `address` carries.
pub(crate) fn ethertype(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => ETHERTYPE_ARP,
        IpAddr::V6(_) => ETHERTYPE_IPV6,
    }
}

/// Asks whether anyone has `address`, without a word about who asks (RFC 5227 section 2.1.1,
/// RFC 4862 section 5.4.2).
pub(crate) fn probe(own: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp::probe(own, address),
        IpAddr::V6(address) => ndp::solicitation(own, address),
    }
}

/// Tells everyone that `own` has `address`. Some hosts believe only the request form of ARP and
/// some only the reply form, so there are both.
pub(crate) fn announcements(own: Mac, address: IpAddr) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => {
            vec![arp::announcement(own, address), arp::unasked_reply(own, address)]
        }
        IpAddr::V6(address) => vec![ndp::advertisement(own, address)],
    }
}

/// What `frame` claims about `address`.
pub(crate) fn claim(frame: &[u8], address: IpAddr) -> Option<Claim> {
    match address {
        IpAddr::V4(address) => arp::claim(frame, address),
        IpAddr::V6(address) => ndp::claim(frame, address),
    }
}

fn ethernet(to: Mac, from: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to.octets());
    frame.extend(from.octets());
    frame.extend(ethertype.to_be_bytes());
    frame
}
