//! What the kernel says of an address and of its interface at the moment of asking.

use std::net::IpAddr;

/// Whether an interface can carry anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It is up and has a carrier.
    Up,
    /// It is up, and there is nothing at its other end.
    NoCarrier,
    /// It is switched off.
    Down,
    /// There is none of this name.
    Missing,
}

impl LinkState {
    /// What is wrong with `interface`, and what an operator can do; `None` when it is up.
    #[must_use]
    pub fn problem(self, interface: &str) -> Option<String> {
        match self {
            Self::Up => None,
            Self::NoCarrier => Some(format!(
                "{interface} has no carrier, so nobody reaches the address: look at the cable, \
                 the switch port, or the ports of the bridge"
            )),
            Self::Down => Some(format!(
                "{interface} is down, so nobody reaches the address: ip link set {interface} up"
            )),
            Self::Missing => {
                Some(format!("there is no interface {interface}: `ip link` shows those there are"))
            }
        }
    }
}

/// An address and its interface, as measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipState {
    /// The interface.
    pub link: LinkState,
    /// The prefixes, in bits, with which the interface has the address. More than one is
    /// possible with IPv4 only.
    pub prefix_lens: Vec<u8>,
    /// Whether the host answers for it there: `false` also while IPv6 looks for a duplicate, and
    /// after it has found one.
    pub usable: bool,
    /// Other interfaces that have the same address.
    pub elsewhere: Vec<String>,
}

impl VipState {
    /// Whether the interface has exactly this address, with whichever prefix.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.prefix_lens.is_empty()
    }
}

/// What was there before an address was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The interface did not have it.
    Nothing,
    /// The interface had it, as it is to be.
    AlreadyThere,
    /// The interface had it with another prefix, or in a state in which it did not answer, which
    /// has been set right.
    Corrected,
}

/// What giving up an address has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// How many were taken off: 0 when it was not there.
    pub removed: u32,
    /// Other addresses that the kernel took off along with it (`promote_secondaries` of the
    /// interface is 0) and that have been put back.
    pub put_back: Vec<IpAddr>,
    /// Those that could not be put back.
    pub lost: Vec<IpAddr>,
    /// Other interfaces that have the same address, which have been left alone.
    pub elsewhere: Vec<String>,
}
