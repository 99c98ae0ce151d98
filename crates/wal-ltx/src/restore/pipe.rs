//! Bytes from a task that downloads to a thread that decodes.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Pieces of bytes on their way. A piece has up to eight MiB.
const IN_FLIGHT: usize = 2;

enum Part {
    Bytes(Bytes),
    End,
}

/// The end that takes bytes.
pub(crate) struct Feed(mpsc::Sender<Part>);

/// The end that gives them; blocks.
pub(crate) struct Pipe {
    parts: mpsc::Receiver<Part>,
    current: Bytes,
    ended: bool,
}

/// Nobody reads any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// Both ends of a pipe.
pub(crate) fn pipe() -> (Feed, Pipe) {
    let (sender, parts) = mpsc::channel(IN_FLIGHT);
    (Feed(sender), Pipe { parts, current: Bytes::new(), ended: false })
}

impl Feed {
    /// Waits until there is room.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), Closed> {
        self.0.send(Part::Bytes(bytes)).await.map_err(|_| Closed)
    }

    /// There are no more bytes. A feed that is dropped without this has failed.
    pub(crate) async fn end(self) -> Result<(), Closed> {
        self.0.send(Part::End).await.map_err(|_| Closed)
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.parts.blocking_recv() {
                Some(Part::Bytes(bytes)) => self.current = bytes,
                Some(Part::End) => self.ended = true,
                None => return Err(io::Error::other("the download has ended early")),
            }
        }
        let len = self.current.len().min(buf.len());
        buf[..len].copy_from_slice(&self.current.split_to(len));
        Ok(len)
    }
}
