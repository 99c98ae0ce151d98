//! As much of an HTTP/1.1 client as the tests need: blocking, one kept connection.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A client of one server.
#[derive(Debug)]
pub struct Http {
    server: SocketAddr,
    within: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Http {
    /// A client of 127.0.0.1:`port`; connecting, sending and receiving may each take `within`.
    #[must_use]
    pub fn new(port: u16, within: Duration) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], port)), within)
    }

    /// A client of `server`, as [`Http::new`].
    #[must_use]
    pub fn at(server: SocketAddr, within: Duration) -> Self {
        Self { server, within, stream: None }
    }

    /// GETs `path`; the status code and the body.
    ///
    /// # Errors
    /// When nobody answers; whether the request arrived is then unknown.
    pub fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    }

    /// GETs `path` with a further header line, without its end.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn get_with(&mut self, path: &str, header: &str) -> std::io::Result<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\r\n"))
    }

    /// POSTs `body` to `path`; the status code and the body.
    ///
    /// # Errors
    /// When nobody answers; whether the request arrived is then unknown.
    pub fn post(&mut self, path: &str, body: &Value) -> std::io::Result<(u16, String)> {
        let body = body.to_string();
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        ))
    }

    fn ask(&mut self, request: &str) -> std::io::Result<(u16, String)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.get_mut().write_all(request.as_bytes())?;
        let answer = receive(&mut stream)?;
        self.stream = Some(stream);
        Ok(answer)
    }

    fn connect(&self) -> std::io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.server, self.within)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.within))?;
        stream.set_write_timeout(Some(self.within))?;
        Ok(BufReader::new(stream))
    }
}

/// An answer with a content-length, which all of ours have.
fn receive(stream: &mut BufReader<TcpStream>) -> std::io::Result<(u16, String)> {
    let bad = |what: &str| Error::other(format!("not an HTTP answer: {what}"));
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(Error::from(std::io::ErrorKind::ConnectionReset));
    }
    let code = line.split(' ').nth(1).and_then(|c| c.parse().ok()).ok_or_else(|| bad(&line))?;
    let mut length = 0;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(Error::from(std::io::ErrorKind::ConnectionReset));
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| bad(&line))?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    String::from_utf8(body).map(|body| (code, body)).map_err(|_| bad("not UTF-8"))
}
