//! The four requests of rtnetlink(7) that an address needs, and news about what they are about.
//!
//! A request is one datagram and the kernel has answered when it has been sent, so this needs no
//! runtime: a process that is about to end can take an address off as well as a daemon. What the
//! kernel says beyond the few fields that matter here is skipped unread, whatever its version.

mod address;
mod link;
mod message;
mod news;
mod socket;

pub(crate) use address::Address;
pub(crate) use link::Link;
pub(crate) use news::News;
pub(crate) use socket::{Netlink, is};

/// Bytes that the longest datagram of the kernel fits into (`NLMSG_GOODSIZE` is at most 32 KiB).
const DATAGRAM_BYTES: usize = 64 * 1024;
