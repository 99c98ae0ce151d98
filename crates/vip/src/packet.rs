//! Frames of one interface: packet(7).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv,
    send, socket_with,
};
use socket2::{SockFilter, SockRef};

use crate::datagram::Datagrams;
use crate::frame::{self, Claim};
use crate::netlink::{self, Link};

/// Longer than any claim; the rest of a frame is not looked at.
const FRAME_BYTES: usize = 256;

/// Frames that one socket may have heard before it was bound to its interface.
const STRAY_MAX: u32 = 10_000;

/// Says something on the interface.
pub(crate) fn say(link: &Link, frames: &[Vec<u8>]) -> io::Result<()> {
    // Without a protocol it hears nothing.
    let socket = open(None)?;
    bind_to(&socket, link)?;
    for frame in frames {
        send(&socket, frame, SendFlags::empty())?;
    }
    Ok(())
}

/// Hears what others claim about one address on one interface, and can ask.
#[derive(Debug)]
pub(crate) struct Ear {
    socket: Datagrams,
    address: IpAddr,
}

impl Ear {
    /// In the network namespace of the calling thread, on the runtime that it is in.
    pub(crate) fn open(link: &Link, address: IpAddr) -> io::Result<Self> {
        // In the order of the wire.
        let ethertype = RawProtocol::new(u32::from(frame::ethertype(address).to_be()));
        let socket = open(ethertype.map(Protocol::from_raw))?;
        let filter: Vec<SockFilter> = frame::claims(address)
            .iter()
            .map(|one| SockFilter::new(one.code, one.jump_true, one.jump_false, one.operand))
            .collect();
        SockRef::from(&socket).attach_filter(&filter)?;
        bind_to(&socket, link)?;
        drop_stray(&socket)?;
        Ok(Self { socket: Datagrams::new(socket)?, address })
    }

    /// Asks on the interface.
    pub(crate) async fn ask(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).await
    }

    /// The next claim, our own included where the link echoes. Cancel safe.
    pub(crate) async fn claim(&self) -> io::Result<Claim> {
        loop {
            let mut buffer = [0; FRAME_BYTES];
            let frame = self.socket.next(&mut buffer).await?;
            if let Some(claim) = frame::claim(frame, self.address) {
                return Ok(claim);
            }
        }
    }
}

fn open(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::PACKET, SocketType::RAW, flags, protocol)?)
}

/// Until it was bound, the socket heard all interfaces.
fn drop_stray(socket: &OwnedFd) -> io::Result<()> {
    for _ in 0..STRAY_MAX {
        match recv(socket, &mut [0; FRAME_BYTES], RecvFlags::empty()) {
            Ok(_stray) => {}
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Binds to the interface alone: with protocol 0 in its address, a socket keeps its own.
fn bind_to(socket: &OwnedFd, link: &Link) -> io::Result<()> {
    Ok(bind(socket.as_raw_fd(), &link_layer_address(link)?)?)
}

/// The only way to a link-layer address without unsafe code: the kernel lists those of all
/// interfaces.
fn link_layer_address(link: &Link) -> io::Result<LinkAddr> {
    let index = usize::try_from(link.index).unwrap_or(usize::MAX);
    getifaddrs()?
        .filter_map(|one| one.address?.as_link_addr().copied())
        .find(|address| address.ifindex() == index)
        .ok_or_else(|| Errno::NODEV.into())
}

/// Whether nothing can be said on the link at the moment, which is no reason to give up.
pub(crate) fn is_silent(error: &io::Error) -> bool {
    [Errno::NETDOWN, Errno::NODEV, Errno::NXIO, Errno::NOBUFS, Errno::AGAIN]
        .into_iter()
        .any(|reason| netlink::is(error, reason))
}
