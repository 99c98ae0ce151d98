//! As much of the NATS protocol as a witness needs that has no code in common with ccm.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long one read may block.
const READ_WITHIN: Duration = Duration::from_millis(100);
/// How long a server may take to answer a request.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One plain connection.
#[derive(Debug)]
pub(crate) struct NatsWire {
    sender: TcpStream,
    lines: BufReader<TcpStream>,
    /// A line of which only a part has arrived.
    line: String,
}

impl NatsWire {
    pub(crate) fn connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(READ_WITHIN))?;
        let mut sender = stream.try_clone()?;
        sender.write_all(b"CONNECT {\"verbose\":false}\r\n")?;
        Ok(Self { sender, lines: BufReader::new(stream), line: String::new() })
    }

    pub(crate) fn subscribe(&mut self, subject: &str) -> std::io::Result<()> {
        write!(self.sender, "SUB {subject} 1\r\n")
    }

    /// The payload of the next message; `None` when none has come for a moment.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        match self.lines.read_line(&mut self.line) {
            Ok(0) => return Err(Error::from(ErrorKind::ConnectionReset)),
            Ok(_) => {}
            // The part of the line that has come stays and is continued.
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
        let line = std::mem::take(&mut self.line);
        if line.starts_with("PING") {
            self.sender.write_all(b"PONG\r\n")?;
        }
        if !line.starts_with("MSG ") {
            return Ok(None);
        }
        let size = line.split_whitespace().last().and_then(|size| size.parse().ok()).unwrap_or(0);
        let mut payload: Vec<u8> = vec![0; size];
        self.lines.read_exact(&mut payload)?;
        Ok(Some(payload))
    }
}

/// Asks the server at `port` something over its JSON API.
pub(crate) fn request(
    port: u16,
    subject: &str,
    body: &Value,
    within: Duration,
) -> std::io::Result<Value> {
    let mut nats = NatsWire::connect(port)?;
    let inbox = format!("_INBOX.harness.{}", std::process::id());
    nats.subscribe(&inbox)?;
    let body = body.to_string();
    write!(nats.sender, "PUB {subject} {inbox} {}\r\n{body}\r\n", body.len())?;
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some(payload) = nats.next()? {
            return serde_json::from_slice(&payload).map_err(Error::other);
        }
    }
    Err(Error::from(ErrorKind::TimedOut))
}
