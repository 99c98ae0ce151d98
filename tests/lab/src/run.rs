//! Running a command on a host or at the client, and what came of it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ccm_harness::bound;

/// How long a command may take, for timeout(1).
const SECONDS_MAX: &str = "90";

/// What a command has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Runs `command`, which ends with the calling thread, or after a minute and a half.
    pub(crate) fn of(command: &Command) -> Result<Self> {
        let mut limited = Command::new("timeout");
        limited.args(["--kill-after=1", SECONDS_MAX]);
        limited.arg(command.get_program()).args(command.get_args());
        let output = bound(&limited).output();
        let output = output.with_context(|| format!("could not start {command:?}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        })
    }

    /// Standard output of a command that had to succeed.
    ///
    /// # Errors
    /// With its words when it has not.
    pub fn ok(self) -> Result<String> {
        ensure!(self.code == Some(0), "exit code {:?}: {}{}", self.code, self.out, self.err);
        Ok(self.out)
    }
}
