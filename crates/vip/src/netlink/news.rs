//! What changes on addresses and interfaces, as the kernel tells it to everyone.

use std::io;
use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use super::message::messages;
use super::{Address, DATAGRAM_BYTES, Link, address, link};
use crate::datagram::Datagrams;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// A socket that hears of every change.
#[derive(Debug)]
pub(crate) struct News {
    socket: Datagrams,
    buffer: Vec<u8>,
}

impl News {
    /// In the network namespace of the calling thread, on the runtime that it is in.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { socket: Datagrams::new(socket)?, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Waits for a change of `address` anywhere or of the interface with this name or index.
    /// Cancel safe. What was lost because there was too much of it counts as a change.
    pub(crate) async fn changed(
        &mut self,
        address: IpAddr,
        name: &str,
        index: Option<u32>,
    ) -> io::Result<()> {
        loop {
            let datagram = match self.socket.next(&mut self.buffer).await {
                Ok(datagram) => datagram,
                Err(error) if super::is(&error, Errno::NOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            };
            let concerns = |kind, body: &[u8]| match kind {
                address::NEW | address::DELETE => {
                    Address::parse(body).is_none_or(|one| one.local == address)
                }
                link::NEW | link::DELETE => Link::parse(body)
                    .is_none_or(|link| link.name == name || Some(link.index) == index),
                _other => false,
            };
            if messages(datagram).any(|message| concerns(message.kind, message.body)) {
                return Ok(());
            }
        }
    }
}
