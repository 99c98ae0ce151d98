//! What has happened, one line per event.

use crate::scenario::HostId;
use crate::time::{S, Time};
use crate::world::World;

/// The log of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// `None` when nobody reads it.
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A log that is kept.
    pub(crate) fn kept() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    /// Everything that was said.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }

    fn add(&mut self, at: Time, who: &str, words: &str) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>4}.{:06}  {who:<6} {words}", at / S, at % S));
        }
    }

    fn is_kept(&self) -> bool {
        self.lines.is_some()
    }
}

impl World {
    /// One line about a host.
    pub(crate) fn say(&mut self, host: HostId, words: impl FnOnce() -> String) {
        if self.trace.is_kept() {
            let words = words();
            self.trace.add(self.now, &format!("host {host}"), &words);
        }
    }

    /// One line about the world.
    pub(crate) fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.trace.is_kept() {
            let words = words();
            self.trace.add(self.now, "", &words);
        }
    }
}
