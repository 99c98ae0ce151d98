//! Asking for an IPv6 address: neighbour discovery, RFC 4861.

use std::net::Ipv6Addr;

use super::{Claim, HEADER, Mac};

/// The type of a frame with IPv6.
pub(super) const ETHERTYPE: u16 = 0x86dd;
/// Bytes of an IPv6 header.
const IPV6: usize = 40;
/// The length of a solicitation or an advertisement with an option that has an Ethernet address, as
/// the IPv6 header has it, and in bytes.
const LENGTH: [u8; 2] = [0, 32];
const MESSAGE: usize = LENGTH[1] as usize;
const ICMPV6: u8 = 58;
/// What a packet has that no router has passed on.
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// The flags of an advertisement: it answers, and it replaces what a neighbour knew.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// The options with the sender's and with the holder's Ethernet address, eight bytes each.
const SOURCE: [u8; 2] = [1, 1];
const TARGET: [u8; 2] = [2, 1];

/// Who has `address`? Tell `asker`.
pub(super) fn question(own: Mac, asker: Ipv6Addr, address: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(address.octets());
    message.extend(SOURCE);
    message.extend(own);
    // Everybody whose address ends like this one listens.
    let [.., a, b, c] = address.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    packet(own, [0x33, 0x33, 0xff, a, b, c], asker, group, message)
}

fn packet(from: Mac, to: Mac, source: Ipv6Addr, group: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let pseudo = [&source.octets()[..], &group.octets(), &[0, 0], &LENGTH, &[0, 0, 0, ICMPV6]];
    let sum = checksum(&[&pseudo.concat(), &message[..]].concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [to, from].concat();
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(LENGTH);
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(source.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// The sum of the Internet protocols over an even number of bytes.
fn checksum(covered: &[u8]) -> u16 {
    let words = covered.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or_default()
}

/// What a frame claims about `address`. An announcement that does not override is none: neighbours
/// would go on with what they knew.
pub(super) fn claim(frame: &[u8], address: Ipv6Addr, own: Mac) -> Option<Claim> {
    let frame = frame.get(..HEADER + IPV6 + MESSAGE)?;
    let (ip, message) = frame[HEADER..].split_at(IPV6);
    let about = frame[12..HEADER] == ETHERTYPE.to_be_bytes()
        && (ip[6], ip[7], message[0]) == (ICMPV6, HOP_LIMIT, ADVERTISEMENT)
        && message[8..24] == address.octets()
        && message[24..26] == TARGET;
    let mac: Mac = message[26..].try_into().ok().filter(|_| about)?;
    let (solicited, overrides) = (message[4] & SOLICITED != 0, message[4] & OVERRIDE != 0);
    (mac != own && (solicited || overrides)).then_some(Claim { mac, answer: solicited })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
    const OWN: Mac = [2, 0x77, 0, 0, 0, 50];

    fn advertisement(from: Mac, flags: u8) -> Vec<u8> {
        let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
        message.extend(VIP.octets());
        message.extend(TARGET);
        message.extend(from);
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        packet(from, [0x33, 0x33, 0, 0, 0, 1], VIP, all, message)
    }

    #[test]
    fn an_answer_and_an_announcement_that_overrides_are_told_from_the_rest() {
        let one = [2, 0x77, 0, 0, 0, 11];
        let claimed = |flags| claim(&advertisement(one, flags), VIP, OWN);
        assert_eq!(claimed(SOLICITED | OVERRIDE), Some(Claim { mac: one, answer: true }));
        assert_eq!(claimed(OVERRIDE), Some(Claim { mac: one, answer: false }));
        assert_eq!(claimed(0), None);
        assert_eq!(claim(&advertisement(OWN, OVERRIDE), VIP, OWN), None);
        assert_eq!(claim(&advertisement(one, OVERRIDE)[..80], VIP, OWN), None);
        assert_eq!(claim(&question(one, Ipv6Addr::LOCALHOST, VIP), VIP, OWN), None);
    }

    #[test]
    fn a_sum_over_what_carries_its_sum_is_zero() {
        let frame = question(OWN, VIP, VIP);
        let (ip, message) = frame[HEADER..].split_at(IPV6);
        let pseudo = [&ip[8..], &[0, 0], &LENGTH, &[0, 0, 0, ICMPV6]].concat();
        assert_eq!(checksum(&[&pseudo, message].concat()), 0);
    }
}
