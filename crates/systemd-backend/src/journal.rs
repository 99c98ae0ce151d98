//! The last lines of a unit's log.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::decide::log_lines;

/// How long one look at the journal may take.
const WITHIN: Duration = Duration::from_millis(500);

/// Looks at a log that has no line yet.
const LOOKS: u32 = 2;

/// Lines that are read: some of them are systemd's.
const READ_LINES: &str = "20";

/// Bytes that are read.
const READ_BYTES: u64 = 64 << 10;

/// Between two of them.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a run of a unit wrote last, at most five lines. Written out, it follows a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastLines(Vec<String>);

impl LastLines {
    /// Of the run of `unit` that systemd knows as `invocation`. None when the journal cannot be
    /// read, is not there, or has nothing in time.
    pub(crate) async fn read(unit: &str, invocation: &[u8]) -> Self {
        if invocation.is_empty() {
            return Self::default();
        }
        let id: String = invocation.iter().map(|byte| format!("{byte:02x}")).collect();
        for look in 0..LOOKS {
            // What was written last may be on its way to the journal.
            if look > 0 {
                sleep(LOOK_EVERY).await;
            }
            let text = timeout(WITHIN, read(&id)).await.ok().and_then(Result::ok);
            let lines = log_lines(&text.unwrap_or_default(), unit);
            if !lines.is_empty() {
                return Self(lines);
            }
        }
        Self::default()
    }

    /// The lines, the oldest first.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for LastLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "; it wrote last: {}", self.0.join(" | "))
    }
}

/// The lines of its processes, and those that systemd wrote about it, of this run alone.
async fn read(id: &str) -> std::io::Result<String> {
    let mut journalctl = Command::new("journalctl");
    journalctl.args(["--quiet", "--no-pager", "--output=cat", "--lines", READ_LINES]);
    let of = ["_SYSTEMD_INVOCATION_ID", "INVOCATION_ID", "USER_INVOCATION_ID"];
    journalctl.args(of.map(|field| format!("{field}={id}")).join(" + ").split(' '));
    journalctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Ends with us, also when its time is up.
    let mut child = journalctl.kill_on_drop(true).spawn()?;
    let mut text = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(READ_BYTES).read_to_end(&mut text).await?;
    }
    child.wait().await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_a_sentence_and_no_lines_leave_it_as_it_is() {
        let lines = LastLines(vec![String::from("one"), String::from("two")]);
        assert_eq!(format!("it failed{lines}"), "it failed; it wrote last: one | two");
        assert_eq!(format!("it failed{}", LastLines::default()), "it failed");
    }
}
