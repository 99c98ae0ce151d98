//! Waiting for a datagram of a family that the runtime does not know.

use std::io;
use std::os::fd::OwnedFd;

use tokio::net::UdpSocket;

/// A socket of any family that keeps the ends of datagrams, on the runtime.
///
/// What the runtime calls UDP is such a socket: its send(2) and recv(2) are the same for all
/// families. Its own type for any descriptor can be made only through `unsafe`.
#[derive(Debug)]
pub(crate) struct Datagrams(UdpSocket);

impl Datagrams {
    /// Takes a socket that does not block.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(UdpSocket::from_std(socket.into())?))
    }

    /// The bytes of the next datagram that fit into `buffer`. Cancel safe.
    pub(crate) async fn next<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let length = self.0.recv(buffer).await?;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    /// Sends one. Cancel safe.
    pub(crate) async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.0.send(datagram).await.map(drop)
    }
}
