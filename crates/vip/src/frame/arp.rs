//! Address resolution: RFC 826, and what RFC 5227 makes of it.

use std::net::Ipv4Addr;

use super::{Claim, ETHERNET_BYTES, ETHERTYPE_ARP, ethernet};
use crate::Mac;

/// Ethernet and IPv4, with the lengths of their addresses.
const HEADER: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];

/// Bytes of an ARP packet for IPv4 over Ethernet.
const BYTES: usize = 28;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Request = 1,
    Reply = 2,
}

/// One ARP packet, fields in the order of the wire.
#[derive(Debug, Clone, Copy)]
struct Packet {
    operation: Operation,
    sender: (Mac, Ipv4Addr),
    target: (Mac, Ipv4Addr),
}

const NOBODY: Mac = Mac::new([0; 6]);

/// Sender address zero, so that nobody learns anything from it.
pub(super) fn probe(own: Mac, address: Ipv4Addr) -> Vec<u8> {
    Packet {
        operation: Operation::Request,
        sender: (own, Ipv4Addr::UNSPECIFIED),
        target: (NOBODY, address),
    }
    .broadcast()
}

/// The announcement of RFC 5227 section 2.3.
pub(super) fn announcement(own: Mac, address: Ipv4Addr) -> Vec<u8> {
    Packet { operation: Operation::Request, sender: (own, address), target: (NOBODY, address) }
        .broadcast()
}

/// The reply form (RFC 5944 section 4.6): both hardware addresses are the one to remember.
pub(super) fn unasked_reply(own: Mac, address: Ipv4Addr) -> Vec<u8> {
    Packet { operation: Operation::Reply, sender: (own, address), target: (own, address) }
        .broadcast()
}

/// Who claims `address` or asks for it.
pub(super) fn claim(frame: &[u8], address: Ipv4Addr) -> Option<Claim> {
    let packet = Packet::parse(frame)?;
    let (mac, sender) = packet.sender;
    if sender == address {
        Some(Claim::Holder(mac))
    } else {
        let asks = packet.operation == Operation::Request && sender.is_unspecified();
        (asks && packet.target.1 == address).then_some(Claim::Prober(mac))
    }
}

impl Packet {
    fn broadcast(self) -> Vec<u8> {
        let mut frame = ethernet(Mac::BROADCAST, self.sender.0, ETHERTYPE_ARP);
        frame.extend(HEADER);
        frame.extend((self.operation as u16).to_be_bytes());
        for (mac, address) in [self.sender, self.target] {
            frame.extend(mac.octets());
            frame.extend(address.octets());
        }
        frame
    }

    fn parse(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(ETHERNET_BYTES..ETHERNET_BYTES + BYTES)?;
        if frame[12..14] != ETHERTYPE_ARP.to_be_bytes() || packet[..6] != HEADER {
            return None;
        }
        let operation = match u16::from_be_bytes([packet[6], packet[7]]) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _other => return None,
        };
        let party = |at: usize| {
            let address: [u8; 4] = packet[at + 6..at + 10].try_into().ok()?;
            Some((Mac::from_slice(&packet[at..at + 6])?, Ipv4Addr::from(address)))
        };
        Some(Self { operation, sender: party(8)?, target: party(18)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac::new([2, 0, 0, 0, 0, 0xa]);
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 100);

    fn frame(operation: u8, sender: [u8; 4], target: [u8; 6]) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 0xa, 8, 6]);
        frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
        frame.extend([2, 0, 0, 0, 0, 0xa]);
        frame.extend(sender);
        frame.extend(target);
        frame.extend([10, 0, 1, 100]);
        frame
    }

    #[test]
    fn frames_have_the_layout_of_the_rfcs() {
        assert_eq!(probe(OWN, VIP), frame(1, [0; 4], [0; 6]));
        assert_eq!(announcement(OWN, VIP), frame(1, [10, 0, 1, 100], [0; 6]));
        assert_eq!(unasked_reply(OWN, VIP), frame(2, [10, 0, 1, 100], OWN.octets()));
        assert_eq!(probe(OWN, VIP).len(), 42);
    }

    #[test]
    fn a_sender_claims_and_a_probe_asks() {
        for (frame, claimed) in [
            (probe(OWN, VIP), Some(Claim::Prober(OWN))),
            (announcement(OWN, VIP), Some(Claim::Holder(OWN))),
            (unasked_reply(OWN, VIP), Some(Claim::Holder(OWN))),
            (announcement(OWN, Ipv4Addr::new(10, 0, 1, 10)), None),
            // Somebody looks for the holder.
            (frame(1, [10, 0, 1, 7], [0; 6]), None),
            (frame(3, [10, 0, 1, 100], [0; 6]), None),
        ] {
            assert_eq!(claim(&frame, VIP), claimed, "{frame:x?}");
        }
    }

    #[test]
    fn what_is_short_or_no_arp_claims_nothing() {
        let whole = announcement(OWN, VIP);
        for length in 0..whole.len() {
            assert_eq!(claim(&whole[..length], VIP), None, "{length} bytes");
        }
        for at in [12, 14, 16, 18, 19] {
            let mut odd = whole.clone();
            odd[at] ^= 1;
            assert_eq!(claim(&odd, VIP), None, "byte {at}");
        }
        // What fills a frame up to sixty bytes is not looked at.
        let mut padded = whole;
        padded.resize(60, 0xee);
        assert_eq!(claim(&padded, VIP), Some(Claim::Holder(OWN)));
    }
}
