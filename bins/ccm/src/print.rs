//! What the operator reads. A reader that has gone (`| head`) is no error.

use std::io::{ErrorKind, IsTerminal as _, Result, Write};

use serde_json::Value;

/// One line on standard output.
pub(crate) fn line(text: &str) -> Result<()> {
    write(&mut std::io::stdout(), &format!("{text}\n"))
}

/// Text as it is on standard output.
pub(crate) fn text(text: &str) -> Result<()> {
    write(&mut std::io::stdout(), text)
}

/// One JSON object on standard output.
pub(crate) fn json(value: &Value) -> Result<()> {
    line(&format!("{value:#}"))
}

/// One line on standard error. What cannot be written there cannot be told anywhere.
pub(crate) fn error(text: &str) {
    write(&mut std::io::stderr(), &format!("{text}\n")).ok();
}

/// A line on standard error that the next one replaces.
pub(crate) fn transient(text: &str) {
    write(&mut std::io::stderr(), &format!("\r\x1b[2K{text}")).ok();
}

/// Whether somebody watches standard error.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

fn write(to: &mut impl Write, text: &str) -> Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
