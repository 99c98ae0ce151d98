//! Asking for an IPv4 address: ARP, RFC 826.

use std::net::Ipv4Addr;

use super::{Claim, HEADER, Mac};

/// The type of a frame with ARP.
pub(super) const ETHERTYPE: u16 = 0x0806;
/// Ethernet, IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Bytes of a frame with ARP.
const FRAME: usize = HEADER + 28;

/// Who has `address`? Tell `asker`.
pub(super) fn question(own: Mac, asker: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(own);
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend(ETHERNET_IPV4);
    frame.extend([0, 1]);
    frame.extend(own);
    frame.extend(asker.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// What a frame claims about `address`.
pub(super) fn claim(frame: &[u8], address: Ipv4Addr, own: Mac) -> Option<Claim> {
    let frame = frame.get(..FRAME)?;
    let arp = &frame[HEADER..];
    if frame[12..HEADER] != ETHERTYPE.to_be_bytes() || arp[..6] != ETHERNET_IPV4 {
        return None;
    }
    let mac: Mac = arp[8..14].try_into().ok()?;
    let sender: [u8; 4] = arp[14..18].try_into().ok()?;
    if mac == own || Ipv4Addr::from(sender) != address {
        return None;
    }
    let reply = arp[7] == 2;
    Some(Claim { mac, answer: reply && frame[..6] == own })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 100);
    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 50);
    const OWN: Mac = [2, 0x77, 0, 0, 0, 50];

    fn reply(from: Mac, to: Mac) -> Vec<u8> {
        let mut frame = question(from, VIP, CLIENT);
        frame[..6].copy_from_slice(&to);
        frame[21] = 2;
        frame
    }

    #[test]
    fn an_answer_is_told_from_an_announcement_and_from_what_is_not_about_it() {
        let (one, all) = ([2, 0x77, 0, 0, 0, 11], [0xff; 6]);
        let claimed = |frame: &[u8]| claim(frame, VIP, OWN);
        assert_eq!(claimed(&reply(one, OWN)), Some(Claim { mac: one, answer: true }));
        assert_eq!(claimed(&reply(one, all)), Some(Claim { mac: one, answer: false }));
        assert_eq!(claimed(&question(OWN, CLIENT, VIP)), None);
        assert_eq!(claimed(&reply(one, OWN)[..40]), None);
        assert_eq!(claim(&reply(one, OWN), Ipv4Addr::new(10, 0, 1, 101), OWN), None);
    }
}
