//! What the kernel drops before it wakes anyone: a program of the classic Berkeley packet filter
//! (networking/filter.rst of the kernel) that lets only claims to one address through.

use std::net::IpAddr;

use super::ndp::{ADVERTISEMENT, HOP_LIMIT, ICMPV6, SOLICITATION};

const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Bytes of a frame that are passed on: all.
const WHOLE: u32 = u32::MAX;

/// Where an ARP packet in an Ethernet frame has its IPv4 addresses.
const ARP_SENDER: u32 = 28;
const ARP_TARGET: u32 = 38;

/// Where an IPv6 packet in an Ethernet frame has its fields.
const IPV6_NEXT_HEADER: u32 = 20;
const IPV6_HOP_LIMIT: u32 = 21;
const IPV6_SOURCE: u32 = 22;
const ICMPV6_TYPE: u32 = 54;
const NDP_TARGET: u32 = 62;

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// What it does.
    pub(crate) code: u16,
    /// Instructions to skip when the comparison holds.
    pub(crate) jump_true: u8,
    /// Instructions to skip when it does not.
    pub(crate) jump_false: u8,
    /// What it does it with.
    pub(crate) operand: u32,
}

/// A field that has a value.
#[derive(Debug, Clone, Copy)]
struct Check {
    load: u16,
    offset: u32,
    value: u32,
}

/// Lets claims to `address` through: whoever says that it has it, and whoever probes for it.
/// Hosts that merely look for the holder are many, and say nothing.
pub(crate) fn claims(address: IpAddr) -> Vec<Instruction> {
    match address {
        IpAddr::V4(address) => {
            let address = address.to_bits();
            program(&[
                vec![word(ARP_SENDER, address)],
                vec![word(ARP_SENDER, 0), word(ARP_TARGET, address)],
            ])
        }
        IpAddr::V6(address) => {
            let kind = |kind| {
                let mut checks = vec![
                    byte(IPV6_NEXT_HEADER, ICMPV6),
                    byte(IPV6_HOP_LIMIT, HOP_LIMIT),
                    byte(ICMPV6_TYPE, kind),
                ];
                checks.extend(words(NDP_TARGET, address.to_bits()));
                checks
            };
            let mut probe = kind(SOLICITATION);
            probe.extend(words(IPV6_SOURCE, 0));
            program(&[kind(ADVERTISEMENT), probe])
        }
    }
}

fn word(offset: u32, value: u32) -> Check {
    Check { load: LOAD_WORD, offset, value }
}

fn byte(offset: u32, value: u8) -> Check {
    Check { load: LOAD_BYTE, offset, value: u32::from(value) }
}

fn words(offset: u32, value: u128) -> [Check; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = value.to_be_bytes();
    [
        word(offset, u32::from_be_bytes([a, b, c, d])),
        word(offset + 4, u32::from_be_bytes([e, f, g, h])),
        word(offset + 8, u32::from_be_bytes([i, j, k, l])),
        word(offset + 12, u32::from_be_bytes([m, n, o, p])),
    ]
}

/// Lets through what passes all checks of one alternative.
fn program(alternatives: &[Vec<Check>]) -> Vec<Instruction> {
    let mut program = Vec::new();
    for checks in alternatives {
        // Past the rest of this alternative, which ends with a return.
        let mut rest = u8::try_from(checks.len() * 2 + 1).unwrap_or(u8::MAX);
        for check in checks {
            rest -= 2;
            program.push(plain(check.load, check.offset));
            program.push(Instruction {
                code: JUMP_IF_EQUAL,
                jump_true: 0,
                jump_false: rest,
                operand: check.value,
            });
        }
        program.push(plain(RETURN, WHOLE));
    }
    program.push(plain(RETURN, 0));
    program
}

fn plain(code: u16, operand: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, operand }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mac;
    use crate::frame::{announcements, claim, probe};

    const OTHER: Mac = Mac::new([2, 0, 0, 0, 0, 0xb]);

    /// What the kernel does with a program.
    fn passes(program: &[Instruction], frame: &[u8]) -> bool {
        let (mut at, mut value) = (0, 0);
        loop {
            let instruction = program[at];
            let offset = instruction.operand as usize;
            at += 1;
            match instruction.code {
                LOAD_WORD => {
                    let Some(word) = frame.get(offset..offset + 4) else { return false };
                    value = u32::from_be_bytes(word.try_into().unwrap());
                }
                LOAD_BYTE => {
                    let Some(byte) = frame.get(offset) else { return false };
                    value = u32::from(*byte);
                }
                JUMP_IF_EQUAL if value == instruction.operand => {
                    at += usize::from(instruction.jump_true);
                }
                JUMP_IF_EQUAL => at += usize::from(instruction.jump_false),
                RETURN => return instruction.operand != 0,
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn claims_pass_and_everything_else_is_dropped() {
        for (ours, others) in [
            ("10.0.1.10", ["10.0.1.100", "10.0.1.1"]),
            ("2001:db8::10", ["2001:db8::100", "2001:db8:1::10"]),
        ] {
            let ours: IpAddr = ours.parse().unwrap();
            let program = claims(ours);
            let frames = |address| {
                let mut frames = announcements(OTHER, address);
                frames.push(probe(OTHER, address));
                frames
            };
            for frame in frames(ours) {
                assert!(passes(&program, &frame), "{frame:x?}");
                assert!(claim(&frame, ours).is_some());
            }
            for frame in others.iter().flat_map(|address| frames(address.parse().unwrap())) {
                assert!(!passes(&program, &frame), "{frame:x?}");
                assert!(claim(&frame, ours).is_none());
            }
            assert!(!passes(&program, &[]));
        }
    }

    #[test]
    fn whoever_merely_looks_for_the_holder_is_dropped() {
        let ours: IpAddr = "10.0.1.10".parse().unwrap();
        let mut frame = probe(OTHER, ours);
        frame[28..32].copy_from_slice(&[10, 0, 1, 7]);
        assert!(!passes(&claims(ours), &frame));

        let ours: IpAddr = "2001:db8::10".parse().unwrap();
        let mut frame = probe(OTHER, ours);
        frame[22] = 0xfe;
        assert!(!passes(&claims(ours), &frame));
    }
}
