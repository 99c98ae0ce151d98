//! A virtual IP address on an interface: netlink, ARP and neighbour discovery.
//!
//! One host of several has the address, and the neighbours know which. This crate adds and
//! removes it, tells the neighbours, and measures whether it is there; who is to have it is
//! decided elsewhere, such as by a lease. IPv4 and IPv6, on Linux, without any other program.
//!
//! - [`Vip`] takes, holds and gives up an address. While it is held it is announced by
//!   [`Schedule`], put back when something removes it, and defended against another host.
//! - [`VipEvent`] is what happens meanwhile: [`Vip::watch`].
//! - [`release_now`] takes it off and [`state_now`] looks for it without any of that: for a
//!   process that did not take it, or has no runtime.
//! - [`VipError`] tells the reasons apart that an operator must do something about.
//!
//! Whether an address is there is always asked of the kernel, and compared as an address:
//! 10.0.1.10 is not there because 10.0.1.100 is. What the kernel needs for it is `CAP_NET_ADMIN`,
//! and for speaking to the neighbours `CAP_NET_RAW`.
//!
//! The sources are rtnetlink(7) and packet(7), RFC 826 and RFC 5227 for IPv4, RFC 4861 and RFC
//! 4862 for IPv6.

mod config;
mod datagram;
mod defence;
mod error;
mod event;
mod frame;
mod holder;
mod keeper;
mod kernel;
mod mac;
mod netlink;
mod packet;
mod probe;
mod release;
mod schedule;
mod shared;
mod state;
mod vip;

pub use config::{AnnounceConfig, ConfigError, VipConfig};
pub use error::VipError;
pub use event::{VipEvent, VipEvents};
pub use mac::Mac;
pub use probe::Probe;
pub use release::{release_now, state_now};
pub use schedule::Schedule;
pub use state::{Found, LinkState, Released, VipState};
pub use vip::{Acquired, Vip};
