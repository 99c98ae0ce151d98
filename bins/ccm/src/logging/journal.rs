//! The journal's own protocol (systemd's JOURNAL_NATIVE_PROTOCOL): a datagram of fields a line.

use std::io::{self, ErrorKind, Write as _};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{self, Layer};

use super::Context;
use super::event::{Said, plain};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// What a line is found by: `journalctl -t ccm`.
const IDENTIFIER: &str = "ccm";
/// How long a journal that is busy is waited for; a line it does not take in then is lost.
const SEND_WITHIN: Duration = Duration::from_millis(200);

/// Writes to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    context: Context,
    /// Lines that were lost since the last one that was not.
    lost: AtomicU64,
}

impl Journal {
    pub(super) fn open(context: Context) -> io::Result<Self> {
        Self::open_at(SOCKET, context)
    }

    fn open_at(socket: &str, context: Context) -> io::Result<Self> {
        let to = UnixDatagram::unbound()?;
        to.connect(socket)?;
        to.set_write_timeout(Some(SEND_WITHIN))?;
        Ok(Self { socket: to, context, lost: AtomicU64::new(0) })
    }

    fn write(&self, said: &Said) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        match self.socket.send(&datagram(said, &self.context, lost)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.lost.fetch_add(lost + 1, Ordering::Relaxed);
            }
            // Too long for a datagram, or the journal is being restarted: standard error is kept
            // for it by systemd. What cannot be written there cannot be told anywhere.
            Err(_) => {
                let line = format!("<{}>{}\n", priority(said.level), one_line(&said.text()));
                io::stderr().lock().write_all(line.as_bytes()).ok();
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        self.write(&Said::of(event));
    }
}

/// As syslog(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn datagram(said: &Said, context: &Context, lost: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, "PRIORITY", &priority(said.level).to_string());
    put(&mut out, "SYSLOG_IDENTIFIER", IDENTIFIER);
    put(&mut out, "MESSAGE", &said.text());
    put(&mut out, "TARGET", said.target);
    if let (Some(cluster), Some(node)) = (&context.cluster, &context.node) {
        put(&mut out, "CCM_CLUSTER", cluster);
        put(&mut out, "CCM_NODE", node);
    }
    let place = context.place();
    if let Some(role) = place.role {
        put(&mut out, "CCM_ROLE", &role.to_string());
    }
    if let Some(epoch) = place.epoch {
        put(&mut out, "CCM_EPOCH", &epoch.to_string());
    }
    if lost > 0 {
        put(&mut out, "CCM_LOST_LINES", &lost.to_string());
    }
    if let (Some(file), Some(line)) = (said.file, said.line) {
        put(&mut out, "CODE_FILE", file);
        put(&mut out, "CODE_LINE", &line.to_string());
    }
    for (name, value) in &said.fields {
        put(&mut out, &field_name(name), &plain(value));
    }
    out
}

/// The names of fields are upper case.
fn field_name(name: &str) -> String {
    let mut upper = String::from("F_");
    upper.extend(
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }),
    );
    upper
}

/// A value with a line break has its length before it.
fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend((value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend(value.as_bytes());
    out.push(b'\n');
}

fn one_line(text: &str) -> String {
    text.replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::super::{context, event};
    use super::*;

    #[test]
    fn a_line_has_the_fields_that_people_look_for() {
        let said = event::said(|| {
            tracing::warn!(target: "t", problem = "two\nlines", took.ms = 5_u64, "it fails");
        });
        let [said] = said.as_slice() else { panic!("{said:?}") };
        let said = Said { file: Some("f.rs"), line: Some(3), ..clone(said) };
        let datagram = datagram(&said, &context::primary(), 2);
        let mut expected = Vec::from("PRIORITY=4\nSYSLOG_IDENTIFIER=ccm\nMESSAGE\n");
        let message = "it fails problem=two\nlines took.ms=5";
        expected.extend((message.len() as u64).to_le_bytes());
        expected.extend(format!("{message}\nTARGET=t\nCCM_CLUSTER=c\nCCM_NODE=n\n").bytes());
        expected.extend(b"CCM_ROLE=PRIMARY\nCCM_EPOCH=7\nCCM_LOST_LINES=2\n");
        expected.extend(b"CODE_FILE=f.rs\nCODE_LINE=3\nF_PROBLEM\n");
        expected.extend(9_u64.to_le_bytes());
        expected.extend(b"two\nlines\nF_TOOK_MS=5\n");
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(shown(&datagram), shown(&expected));
        assert_eq!(datagram, expected);
    }

    fn clone(said: &Said) -> Said {
        let Said { level, target, file, line, message, fields } = said;
        let (message, fields) = (message.clone(), fields.clone());
        Said { level: *level, target, file: *file, line: *line, message, fields }
    }

    #[test]
    fn what_the_journal_hears_is_one_datagram_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let writer = Journal::open_at(path.to_str().unwrap(), context::primary()).unwrap();
        for said in event::said(|| tracing::info!("hello")) {
            writer.write(&said);
        }
        let mut buffer = [0; 1024];
        let read = journal.recv(&mut buffer).unwrap();
        let heard = String::from_utf8_lossy(&buffer[..read]);
        assert!(heard.contains("\nMESSAGE=hello\n") && heard.ends_with('\n'), "{heard}");
    }
}
