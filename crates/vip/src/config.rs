//! Which address, where, and how it is announced.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Bytes of the longest interface name (`IFNAMSIZ` without its zero, netdevice(7)).
const INTERFACE_BYTES_MAX: usize = 15;

/// Which address, on which interface. A value of this type has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipConfig {
    address: IpAddr,
    prefix_len: u8,
    interface: String,
    announce: AnnounceConfig,
}

impl VipConfig {
    /// `address` with a prefix of `prefix_len` bits on `interface`, announced as
    /// [`AnnounceConfig::default`] says.
    ///
    /// # Errors
    /// [`ConfigError`] when no host can have the address, the prefix does not fit it, or the
    /// kernel would not accept the name.
    pub fn new(address: IpAddr, prefix_len: u8, interface: &str) -> Result<Self, ConfigError> {
        check_address(address)?;
        check_prefix(address, prefix_len)?;
        check_interface(interface)?;
        let interface = String::from(interface);
        Ok(Self { address, prefix_len, interface, announce: AnnounceConfig::default() })
    }

    /// The same address, announced otherwise.
    ///
    /// # Errors
    /// [`ConfigError::Announce`] when a value is out of its bounds.
    pub fn with_announce(mut self, announce: AnnounceConfig) -> Result<Self, ConfigError> {
        announce.check()?;
        self.announce = announce;
        Ok(self)
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix: 1 to 32 or 128.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// The name of the interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// How it is announced.
    #[must_use]
    pub fn announce(&self) -> AnnounceConfig {
        self.announce
    }
}

/// How often neighbours are told who has the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceConfig {
    /// Announcements after the address was taken, 1 to 100.
    pub count: u32,
    /// Between two of them, 100 ms to 60 s. Linux keeps a neighbour for one second before it
    /// believes another (`locktime`, arp(7)), so it should be longer than that.
    pub interval: Duration,
    /// Between two after these, for as long as the address is held: 1 s or more, zero for none.
    pub refresh: Duration,
}

impl Default for AnnounceConfig {
    fn default() -> Self {
        Self { count: 6, interval: Duration::from_millis(1100), refresh: Duration::from_secs(60) }
    }
}

impl AnnounceConfig {
    const COUNT: std::ops::RangeInclusive<u32> = 1..=100;
    const INTERVAL: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(100)..=Duration::from_secs(60);
    const REFRESH_MIN: Duration = Duration::from_secs(1);

    fn check(self) -> Result<(), ConfigError> {
        let refused = |what, bounds| Err(ConfigError::Announce { what, bounds });
        if !Self::COUNT.contains(&self.count) {
            return refused("the number of announcements", "1 to 100");
        }
        if !Self::INTERVAL.contains(&self.interval) {
            return refused("the interval between announcements", "100 ms to 60 s");
        }
        if !self.refresh.is_zero() && self.refresh < Self::REFRESH_MIN {
            return refused("the refresh of announcements", "1 s or more, or 0 for none");
        }
        Ok(())
    }
}

/// Why an address cannot be a virtual one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No host can have this address for itself.
    #[error("{address} cannot be a virtual address: it is {kind}")]
    Address {
        /// The address.
        address: IpAddr,
        /// What it is instead.
        kind: &'static str,
    },
    /// The prefix does not fit.
    #[error(
        "a prefix of {prefix_len} bits does not fit {address}: it has 1 to {max}, and those of \
         the other addresses of its subnet are right"
    )]
    Prefix {
        /// The address.
        address: IpAddr,
        /// What was given.
        prefix_len: u8,
        /// The most that fits.
        max: u8,
    },
    /// The address is the first or the last of its subnet.
    #[error("{address} cannot be a virtual address: it is the {kind} address of its /{prefix_len}")]
    Edge {
        /// The address.
        address: Ipv4Addr,
        /// Bits of the prefix.
        prefix_len: u8,
        /// Network or broadcast.
        kind: &'static str,
    },
    /// No interface can have this name.
    #[error(
        "{name:?} cannot be the name of an interface: 1 to 15 bytes without space, slash or \
         colon; `ip link` shows the names"
    )]
    Interface {
        /// What was given.
        name: String,
    },
    /// A value of [`AnnounceConfig`] is out of its bounds.
    #[error("{what} must be {bounds}")]
    Announce {
        /// Which.
        what: &'static str,
        /// What it may be.
        bounds: &'static str,
    },
}

fn check_address(address: IpAddr) -> Result<(), ConfigError> {
    let kind = match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    };
    kind.map_or(Ok(()), |kind| Err(ConfigError::Address { address, kind }))
}

/// What keeps an IPv4 address from being one host's (RFC 6890).
fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("unspecified")
    } else if address.octets()[0] == 0 {
        Some("in 0.0.0.0/8, \"this network\"")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else if address.octets()[0] >= 240 {
        Some("in 240.0.0.0/4, which is reserved")
    } else {
        None
    }
}

/// What keeps an IPv6 address from being one host's (RFC 6890).
fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("the loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.to_ipv4_mapped().is_some() {
        Some("an IPv4 address written as IPv6: write it as IPv4")
    } else {
        None
    }
}

fn check_prefix(address: IpAddr, prefix_len: u8) -> Result<(), ConfigError> {
    let max = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    if !(1..=max).contains(&prefix_len) {
        return Err(ConfigError::Prefix { address, prefix_len, max });
    }
    // A /31 has no edges (RFC 3021), a /32 is one address.
    if let IpAddr::V4(address) = address
        && prefix_len < 31
    {
        let host = u32::MAX >> prefix_len;
        let edge = |kind| Err(ConfigError::Edge { address, prefix_len, kind });
        if address.to_bits() & host == 0 {
            return edge("network");
        }
        if address.to_bits() & host == host {
            return edge("broadcast");
        }
    }
    Ok(())
}

/// As dev_valid_name() of the kernel has it.
fn check_interface(name: &str) -> Result<(), ConfigError> {
    let odd = |byte: u8| byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace();
    let fits = (1..=INTERFACE_BYTES_MAX).contains(&name.len());
    if !fits || name == "." || name == ".." || name.bytes().any(odd) {
        return Err(ConfigError::Interface { name: String::from(name) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, prefix_len: u8) -> Result<VipConfig, ConfigError> {
        let address = address.parse();
        VipConfig::new(address.unwrap_or_else(|e| panic!("{e}")), prefix_len, "eth0")
    }

    #[test]
    fn an_address_of_a_host_is_taken() {
        for (address, prefix_len) in [
            ("10.0.1.100", 24),
            ("10.0.1.100", 32),
            ("10.0.0.0", 31),
            ("10.0.0.255", 16),
            ("169.254.1.1", 16),
            ("2001:db8::10", 64),
            ("2001:db8::10", 128),
            ("fe80::10", 64),
        ] {
            check(address, prefix_len).unwrap();
        }
    }

    #[test]
    fn an_address_that_no_host_can_have_is_refused_with_the_reason() {
        for (address, prefix_len, words) in [
            ("0.0.0.0", 24, "unspecified"),
            ("0.1.2.3", 24, "this network"),
            ("127.0.0.2", 8, "loopback"),
            ("224.0.0.1", 24, "multicast"),
            ("255.255.255.255", 32, "broadcast"),
            ("250.1.1.1", 24, "reserved"),
            ("10.0.1.0", 24, "network address of its /24"),
            ("10.0.1.255", 24, "broadcast address of its /24"),
            ("10.0.1.100", 0, "0 bits"),
            ("10.0.1.100", 33, "1 to 32"),
            ("2001:db8::1", 0, "0 bits"),
            ("2001:db8::1", 129, "1 to 128"),
            ("::", 64, "unspecified"),
            ("::1", 128, "loopback"),
            ("ff02::1", 64, "multicast"),
            ("::ffff:10.0.1.100", 96, "write it as IPv4"),
        ] {
            let error = check(address, prefix_len).unwrap_err().to_string();
            assert!(error.contains(words), "{address}/{prefix_len}: {error}");
        }
    }

    #[test]
    fn a_name_that_no_interface_can_have_is_refused() {
        let address = "10.0.1.100".parse().unwrap();
        for name in ["", ".", "..", "eth0:1", "a/b", "eth 0", "sixteen-bytes-xy"] {
            let error = VipConfig::new(address, 24, name).unwrap_err();
            assert_eq!(error, ConfigError::Interface { name: String::from(name) });
        }
        VipConfig::new(address, 24, "fifteen-bytes-x").unwrap();
    }

    #[test]
    fn announcing_has_bounds() {
        let good = AnnounceConfig::default();
        let config = check("10.0.1.100", 24).unwrap();
        for (announce, words) in [
            (AnnounceConfig { count: 0, ..good }, "number"),
            (AnnounceConfig { count: 101, ..good }, "number"),
            (AnnounceConfig { interval: Duration::ZERO, ..good }, "interval"),
            (AnnounceConfig { interval: Duration::from_secs(61), ..good }, "interval"),
            (AnnounceConfig { refresh: Duration::from_millis(10), ..good }, "refresh"),
        ] {
            let error = config.clone().with_announce(announce).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let never = AnnounceConfig { refresh: Duration::ZERO, ..good };
        assert_eq!(config.with_announce(never).unwrap().announce(), never);
    }
}
