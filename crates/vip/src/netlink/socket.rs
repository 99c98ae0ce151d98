//! A conversation with the kernel.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use super::message::{self, error_number, messages};
use super::{Address, DATAGRAM_BYTES, Link, address, link};

/// How long the kernel may take for a part of an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Tries to be told everything without a change in the middle.
const DUMP_TRIES: u32 = 10;

/// A socket for requests, which blocks until the kernel has answered.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What came back: kind and body of each message.
type Answer = Vec<(u16, Vec<u8>)>;

impl Netlink {
    /// In the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let family = AddressFamily::NETLINK;
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WITHIN))?;
        // Then nobody but the kernel can answer.
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// The interface with this name.
    pub(crate) fn link_named(&mut self, name: &str) -> io::Result<Option<Link>> {
        self.link(&link::named_body(name))
    }

    /// The interface with this index.
    pub(crate) fn link_at(&mut self, index: u32) -> io::Result<Option<Link>> {
        self.link(&link::indexed_body(index))
    }

    fn link(&mut self, body: &[u8]) -> io::Result<Option<Link>> {
        match self.ask(link::GET, message::ACK, body) {
            Ok(answer) => {
                let links = answer.iter().filter(|(kind, _)| *kind == link::NEW);
                Ok(links.filter_map(|(_, body)| Link::parse(body)).next())
            }
            Err(error) if is(&error, rustix::io::Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All interfaces.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let answer = self.dump(link::GET, &link::indexed_body(0))?;
        Ok(answer.iter().filter_map(|(_, body)| Link::parse(body)).collect())
    }

    /// All addresses of the family of `like`, of all interfaces.
    pub(crate) fn addresses(&mut self, like: IpAddr) -> io::Result<Vec<Address>> {
        let answer = self.dump(address::GET, &address::all_body(like))?;
        Ok(answer.iter().filter_map(|(_, body)| Address::parse(body)).collect())
    }

    /// Gives an interface an address.
    pub(crate) fn add(&mut self, local: IpAddr, prefix_len: u8, index: u32) -> io::Result<()> {
        let body = address::new_body(local, prefix_len, index);
        self.ask(address::NEW, message::ACK | message::CREATE_NEW, &body).map(drop)
    }

    /// Gives back an address that was there, with its lifetimes and its label.
    pub(crate) fn put_back(&mut self, address: &Address) -> io::Result<()> {
        let flags = message::ACK | message::CREATE_NEW;
        self.ask(address::NEW, flags, address.body()).map(drop)
    }

    /// Takes an address off.
    pub(crate) fn delete(&mut self, address: &Address) -> io::Result<()> {
        self.ask(address::DELETE, message::ACK, address.body()).map(drop)
    }

    /// Asks for everything until nothing has changed meanwhile.
    fn dump(&mut self, kind: u16, body: &[u8]) -> io::Result<Answer> {
        for _ in 0..DUMP_TRIES {
            self.send(kind, message::DUMP, body)?;
            if let Some(answer) = self.receive()? {
                return Ok(answer);
            }
        }
        Err(io::Error::other(format!("what there is has changed in each of {DUMP_TRIES} looks")))
    }

    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Answer> {
        self.send(kind, flags, body)?;
        Ok(self.receive()?.unwrap_or_default())
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = message::request(kind, flags, self.sequence, body);
        send(&self.socket, &request, SendFlags::empty())?;
        Ok(())
    }

    /// What the kernel answers, up to the message that says that this was all; `None` when
    /// something has changed while it was told.
    fn receive(&mut self) -> io::Result<Option<Answer>> {
        let mut answer = Answer::new();
        let mut interrupted = false;
        loop {
            let datagram = self.datagram()?;
            for message in messages(datagram) {
                interrupted |= message.flags & message::INTERRUPTED != 0;
                match message.kind {
                    message::ERROR | message::DONE => {
                        let number = error_number(message.body);
                        if number != 0 {
                            return Err(io::Error::from_raw_os_error(number));
                        }
                        return Ok((!interrupted).then_some(answer));
                    }
                    kind => answer.push((kind, message.body.to_vec())),
                }
            }
        }
    }

    /// The messages to the last request.
    fn datagram(&mut self) -> io::Result<&[u8]> {
        loop {
            let (_, length) = recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)?;
            if length > self.buffer.len() {
                return Err(io::Error::other(format!("an answer of {length} bytes")));
            }
            // An answer to a request that was given up.
            let first = messages(&self.buffer[..length]).next();
            if first.is_none_or(|message| message.sequence == self.sequence) {
                return Ok(&self.buffer[..length]);
            }
        }
    }
}

/// Whether the kernel gave this reason.
pub(crate) fn is(error: &io::Error, reason: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(reason.raw_os_error())
}
