//! Neighbour discovery: RFC 4861, and duplicate address detection of RFC 4862.

use std::net::Ipv6Addr;

use super::{Claim, ETHERNET_BYTES, ETHERTYPE_IPV6, ethernet};
use crate::Mac;

/// What says that a packet has not been forwarded.
pub(super) const HOP_LIMIT: u8 = 255;
/// What follows the IPv6 header.
pub(super) const ICMPV6: u8 = 58;
/// A neighbour solicitation.
pub(super) const SOLICITATION: u8 = 135;
/// A neighbour advertisement.
pub(super) const ADVERTISEMENT: u8 = 136;

/// Neighbours shall forget what they knew.
const OVERRIDE: u8 = 0x20;
/// The option with the holder's link-layer address.
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

const IPV6_BYTES: usize = 40;
/// Bytes of either message before its options.
const MESSAGE_BYTES: usize = 24;

/// ff02::1
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A solicitation from the unspecified address, as duplicate address detection sends it.
pub(super) fn solicitation(own: Mac, address: Ipv6Addr) -> Vec<u8> {
    let message = message(SOLICITATION, 0, address);
    frame(own, Ipv6Addr::UNSPECIFIED, solicited_node(address), message)
}

/// An unsolicited advertisement that overrides what neighbours knew (RFC 4861 section 7.2.6).
pub(super) fn advertisement(own: Mac, address: Ipv6Addr) -> Vec<u8> {
    let mut message = message(ADVERTISEMENT, OVERRIDE, address);
    // The length counts in eight bytes.
    message.extend([TARGET_LINK_LAYER_ADDRESS, 1]);
    message.extend(own.octets());
    frame(own, address, ALL_NODES, message)
}

/// Who claims `address` or asks for it.
pub(super) fn claim(frame: &[u8], address: Ipv6Addr) -> Option<Claim> {
    let message = frame.get(ETHERNET_BYTES + IPV6_BYTES..)?;
    let ip = &frame[ETHERNET_BYTES..ETHERNET_BYTES + IPV6_BYTES];
    let target = message.get(8..MESSAGE_BYTES)?;
    let neighbours = frame[12..14] == ETHERTYPE_IPV6.to_be_bytes()
        && ip[6] == ICMPV6
        && ip[7] == HOP_LIMIT
        && message[1] == 0;
    if !neighbours || target != address.octets() {
        return None;
    }
    let from = Mac::from_slice(&frame[6..12])?;
    match message[0] {
        ADVERTISEMENT => Some(Claim::Holder(link_layer(&message[MESSAGE_BYTES..]).unwrap_or(from))),
        // Whoever has an address and looks for the holder asks with that.
        SOLICITATION if ip[8..24] == [0; 16] => Some(Claim::Prober(from)),
        _other => None,
    }
}

/// The address in the option that has the holder's.
fn link_layer(mut options: &[u8]) -> Option<Mac> {
    while let [kind, length, ..] = *options {
        let length = usize::from(length) * 8;
        let option = options.get(2..length)?;
        if kind == TARGET_LINK_LAYER_ADDRESS {
            return Mac::from_slice(option);
        }
        options = &options[length..];
    }
    None
}

/// The group that everyone with an address that ends alike listens to (RFC 4291 section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Type, code, a checksum to come, flags, target.
fn message(kind: u8, flags: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message
}

fn frame(own: Mac, from: Ipv6Addr, group: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(from, group, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    // RFC 2464 section 7.
    let [.., a, b, c, d] = group.octets();
    let mut frame = ethernet(Mac::new([0x33, 0x33, a, b, c, d]), own, ETHERTYPE_IPV6);
    // Version 6, no traffic class, no flow label.
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length(&message).to_be_bytes());
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(from.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// Of ICMPv6 with its pseudo-header (RFC 8200 section 8.1).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let mut covered = Vec::new();
    covered.extend(from.octets());
    covered.extend(to.octets());
    covered.extend(u32::from(length(message)).to_be_bytes());
    covered.extend([0, 0, 0, ICMPV6]);
    covered.extend(message);
    let sum = covered
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .fold(0, |sum, word| {
            let sum = sum + word;
            (sum & 0xffff) + (sum >> 16)
        });
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Both messages are shorter than a hundred bytes.
fn length(message: &[u8]) -> u16 {
    u16::try_from(message.len()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac::new([2, 0, 0, 0, 0, 0xa]);

    fn vip() -> Ipv6Addr {
        "2001:db8::10".parse().unwrap()
    }

    #[test]
    fn an_advertisement_has_the_layout_of_the_rfc() {
        #[rustfmt::skip]
        let expected = [
            0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd,
            0x60, 0, 0, 0, 0, 32, 58, 255,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            136, 0, 0xf9, 0x03, 0x20, 0, 0, 0,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
            2, 1, 2, 0, 0, 0, 0, 0xa,
        ];
        assert_eq!(advertisement(OWN, vip()), expected);
    }

    #[test]
    fn a_solicitation_has_the_layout_of_the_rfc() {
        #[rustfmt::skip]
        let expected = [
            0x33, 0x33, 0xff, 0, 0, 0x10, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd,
            0x60, 0, 0, 0, 0, 24, 58, 255,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0x10,
            135, 0, 0x4c, 0xcf, 0, 0, 0, 0,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        assert_eq!(solicitation(OWN, vip()), expected);
    }

    #[test]
    fn a_checksum_makes_the_whole_add_up() {
        for frame in [advertisement(OWN, vip()), solicitation(OWN, vip())] {
            let from: [u8; 16] = frame[22..38].try_into().unwrap();
            let to: [u8; 16] = frame[38..54].try_into().unwrap();
            assert_eq!(checksum(from.into(), to.into(), &frame[54..]), 0);
        }
        // The odd byte is the high one of a word.
        let none = Ipv6Addr::UNSPECIFIED;
        assert_eq!(!checksum(none, none, &[0x12]), 0x1200 + 1 + 58);
    }

    #[test]
    fn an_advertisement_claims_and_a_probe_asks() {
        let other: Ipv6Addr = "2001:db8::100".parse().unwrap();
        assert_eq!(claim(&advertisement(OWN, vip()), vip()), Some(Claim::Holder(OWN)));
        assert_eq!(claim(&solicitation(OWN, vip()), vip()), Some(Claim::Prober(OWN)));
        assert_eq!(claim(&advertisement(OWN, other), vip()), None);

        // The option says who holds it, whoever sends for it.
        let mut sent_for = advertisement(OWN, vip());
        sent_for[11] = 0xb;
        assert_eq!(claim(&sent_for, vip()), Some(Claim::Holder(OWN)));
        sent_for.truncate(78);
        assert_eq!(claim(&sent_for, vip()), Some(Claim::Holder(Mac::new([2, 0, 0, 0, 0, 0xb]))));

        // Somebody with an address looks for the holder.
        let mut looks = solicitation(OWN, vip());
        looks[22] = 0xfe;
        assert_eq!(claim(&looks, vip()), None);
    }

    #[test]
    fn what_is_short_or_comes_from_afar_claims_nothing() {
        let whole = advertisement(OWN, vip());
        for length in 0..78 {
            assert_eq!(claim(&whole[..length], vip()), None, "{length} bytes");
        }
        for at in [12, 20, 21, 54, 55] {
            let mut odd = whole.clone();
            odd[at] ^= 0x40;
            assert_eq!(claim(&odd, vip()), None, "byte {at}");
        }
        // An option without a length would be read for ever.
        let mut endless = whole;
        endless[79] = 0;
        assert_eq!(claim(&endless, vip()), Some(Claim::Holder(OWN)));
    }
}
