//! Why an address could not be taken or given up.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustix::io::Errno;

use crate::{Mac, VipConfig};

/// Why an address could not be taken, given up, or looked for.
#[derive(Debug, thiserror::Error)]
pub enum VipError {
    /// There is no such interface.
    #[error(
        "there is no interface {interface} to {doing} {address} on: `ip link` shows those there \
         are, vip.interface names one"
    )]
    NoInterface {
        /// What was tried.
        doing: &'static str,
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// This process may not change addresses, or not send and hear frames.
    #[error(
        "this process may not {doing} {address} on {interface}: it needs CAP_NET_ADMIN and \
         CAP_NET_RAW (AmbientCapabilities= of the unit, or setcap cap_net_admin,cap_net_raw+ep \
         on the program)"
    )]
    NotPermitted {
        /// What was tried.
        doing: &'static str,
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// Another host answers for the address.
    #[error(
        "{address} is held by another host on {interface}, {mac}: stop it there, or take the \
         address by force"
    )]
    HeldElsewhere {
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// The other host.
        mac: Mac,
    },
    /// This host has the address on another interface.
    #[error(
        "{address} is on {} of this host already, not on {interface}: take it off there with \
         `ip address del`, or set vip.interface", others.join(", ")
    )]
    OnOtherInterface {
        /// The address.
        address: IpAddr,
        /// Where it was to be.
        interface: String,
        /// Where it is.
        others: Vec<String>,
    },
    /// The kernel keeps IPv6 from the interface.
    #[error(
        "IPv6 is switched off on {interface}, so it cannot have {address}: sysctl \
         net.ipv6.conf.{interface}.disable_ipv6=0"
    )]
    Ipv6Disabled {
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// The address was given up while it was being taken.
    #[error("{address} was not taken on {interface}: it was released in the meantime")]
    Overtaken {
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// Something adds the address as often as it is taken off.
    #[error(
        "{address} is on {interface} again after it was taken off {tries} times: something else \
         adds it, such as NetworkManager, systemd-networkd or keepalived"
    )]
    Stays {
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// How often.
        tries: u32,
    },
    /// The kernel does not answer.
    #[error("the kernel did not {doing} {address} on {interface} within {within:?}")]
    TimedOut {
        /// What was tried.
        doing: &'static str,
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// The time it had.
        within: Duration,
    },
    /// The kernel refused.
    #[error("could not {doing} {address} on {interface}")]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// The address.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

impl VipError {
    /// Worth trying again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // An interface may come, and the other host may go.
            Self::NoInterface { .. }
            | Self::HeldElsewhere { .. }
            | Self::Overtaken { .. }
            | Self::Stays { .. }
            | Self::TimedOut { .. }
            | Self::Kernel { .. } => true,
            Self::NotPermitted { .. }
            | Self::OnOtherInterface { .. }
            | Self::Ipv6Disabled { .. } => false,
        }
    }

    /// Somebody else has the address.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::HeldElsewhere { .. } | Self::OnOtherInterface { .. })
    }

    /// What was asked may happen all the same.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// What the kernel's refusal means.
    pub(crate) fn refused(doing: &'static str, config: &VipConfig, source: io::Error) -> Self {
        let (address, interface) = (config.address(), String::from(config.interface()));
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM) => Self::NotPermitted { doing, address, interface },
            Some(Errno::ACCESS) if address.is_ipv6() => Self::Ipv6Disabled { address, interface },
            Some(Errno::NODEV) => Self::NoInterface { doing, address, interface },
            _other => Self::Kernel { doing, address, interface, source },
        }
    }

    pub(crate) fn no_interface(doing: &'static str, config: &VipConfig) -> Self {
        Self::refused(doing, config, Errno::NODEV.into())
    }
}

/// An error with its reasons.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        words = format!("{words}: {source}");
        next = source.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_can_do_is_said_with_each_refusal() {
        let four = VipConfig::new("10.0.1.100".parse().unwrap(), 24, "eth0").unwrap();
        let six = VipConfig::new("2001:db8::10".parse().unwrap(), 64, "eth0").unwrap();
        for (config, reason, advice, transient) in [
            (&four, Errno::PERM, "CAP_NET_ADMIN and CAP_NET_RAW", false),
            (&four, Errno::NODEV, "`ip link`", true),
            (&six, Errno::ACCESS, "net.ipv6.conf.eth0.disable_ipv6=0", false),
            (&four, Errno::ACCESS, "could not add 10.0.1.100 on eth0", true),
            (&four, Errno::NETDOWN, "could not add 10.0.1.100 on eth0", true),
        ] {
            let error = VipError::refused("add", config, reason.into());
            assert!(error.to_string().contains(advice), "{error}");
            assert_eq!(error.is_transient(), transient, "{error}");
            assert!(!error.is_conflict() && !error.is_ambiguous());
        }
    }
}
