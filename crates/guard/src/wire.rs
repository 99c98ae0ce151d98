//! What daemon and guard say to each other: one JSON object per line.
//!
//! A daemon that has been upgraded talks to the guard of the version before it, so both sides
//! ignore fields they do not know and neither takes an unknown code for a failure to read.

use ccm_types::Monotonic;
use serde::{Deserialize, Serialize};

use crate::Armed;

/// Bytes a line may have; an argv with long arguments must fit.
pub(crate) const LINE_MAX: u64 = 1 << 20;

/// A question with the number its answer will carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) request: Request,
}

/// Only the number, for a question that cannot be read.
#[derive(Debug, Deserialize)]
pub(crate) struct OnlyId {
    pub(crate) id: u64,
}

/// What a daemon asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Who are you, and what is there?
    Hello,
    /// Keep this deadline.
    Arm {
        /// The deadline.
        armed: Armed,
    },
    /// Keep none.
    Disarm,
    /// Start the backend.
    Start {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// End the backend; answered when nothing of it is left.
    Stop {
        /// From SIGTERM to SIGKILL.
        grace_ms: u64,
    },
    /// End the backend in time; answered when nothing of it is left.
    Kill {
        /// When nothing of it may be left.
        gone_by: Monotonic,
    },
    /// End yourself, if nothing is guarded.
    Quit,
}

/// A line from the guard: an answer when it has an `id`, else an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hello: Option<Hello>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exited: Option<String>,
}

/// How the guard answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::Start`].
    Started {
        /// The process.
        pid: u32,
    },
    /// Not done.
    Refused(Refusal),
}

impl Reply {
    pub(crate) fn line(self, id: u64) -> Line {
        let line = Line { id: Some(id), ..Line::default() };
        match self {
            Self::Done => line,
            Self::Hello(hello) => Line { hello: Some(hello), ..line },
            Self::Started { pid } => Line { pid: Some(pid), ..line },
            Self::Refused(refusal) => Line { refused: Some(refusal), ..line },
        }
    }
}

/// The guard introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its process id.
    pub pid: u32,
    /// Its version: after an upgrade of the daemon the earlier one's.
    pub version: String,
    /// What it knows of the backend.
    pub backend: BackendState,
    /// The deadline it keeps.
    pub armed: Option<Armed>,
    /// Whether that deadline has passed.
    pub expired: bool,
}

/// What a guard knows of the backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendState {
    /// Never started, or stopped as asked, and nothing of it is left.
    Stopped,
    /// It runs.
    Running {
        /// Its process id.
        pid: u32,
        /// When it was started.
        since: Monotonic,
    },
    /// It is being ended and something of it may be left.
    Stopping,
    /// It ended without a daemon asking for it, and nothing of it is left.
    Exited {
        /// Exit status or signal, in words.
        why: String,
    },
    /// Something else runs it (a systemd unit): the guard only knows how to end it.
    External,
}

/// Why the guard has not done what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For callers that branch.
    pub code: RefusalCode,
    /// For people.
    pub words: String,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }
}

/// Why the guard has not done what was asked, for callers that branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// A higher epoch is armed.
    OlderEpoch,
    /// A later deadline of the same epoch is armed.
    Backwards,
    /// The deadline has passed.
    DeadlinePassed,
    /// No deadline covers the backend.
    NotArmed,
    /// The backend runs.
    Running,
    /// The backend is being ended.
    Stopping,
    /// The guard does not run this backend, it only ends it.
    NotAProcess,
    /// The program could not be started.
    CannotStart,
    /// What was asked makes no sense.
    Invalid,
    /// A code of a newer guard.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_readable_for_the_next_version() {
        let text = r#"{"id":7,"do":"stop","grace_ms":30}"#;
        let envelope = Envelope { id: 7, request: Request::Stop { grace_ms: 30 } };
        assert_eq!(serde_json::from_str::<Envelope>(text).unwrap(), envelope);
        assert_eq!(serde_json::to_string(&envelope).unwrap(), text);
        let done = serde_json::to_string(&Reply::Done.line(7)).unwrap();
        assert_eq!(done, r#"{"id":7}"#);
        let newer = r#"{"id":7,"refused":{"code":"shy","words":"no","hint":1},"x":[]}"#;
        let line: Line = serde_json::from_str(newer).unwrap();
        assert_eq!(line.refused.unwrap().code, RefusalCode::Unknown);
        let running = BackendState::Running { pid: 4, since: Monotonic::from_millis(9) };
        let text = serde_json::to_string(&running).unwrap();
        assert_eq!(text, r#"{"running":{"pid":4,"since":9}}"#);
    }
}
