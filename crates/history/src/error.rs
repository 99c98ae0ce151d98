//! Why the history could not be read or written.

/// JetStream's numbers for what passes by itself: no peers for a stream yet, JetStream
/// unavailable, no resources, a stream offline.
const PASSING: [u32; 4] = [10005, 10008, 10023, 10118];

/// Why the history did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// NATS does not answer, or cannot serve at present.
    #[error("NATS did not answer while {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// The client library's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// NATS answers, but nobody has the stream: it was removed, or JetStream is off.
    #[error("nobody has the stream {stream} while {what}: see `nats server report jetstream`")]
    NoStream {
        /// The stream.
        stream: String,
        /// What was being done.
        what: &'static str,
    },
    /// The server answered with an error.
    #[error("NATS refused {what}: {description} (error {code})")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// The server's words.
        description: String,
        /// JetStream's error number.
        code: u32,
    },
    /// The stream's name is taken by something else.
    #[error("the stream {stream} cannot hold the history: {why}; rename or remove it")]
    ForeignStream {
        /// The stream.
        stream: String,
        /// What is wrong with it.
        why: String,
    },
}

impl HistoryError {
    /// Worth trying again without a change: NATS may answer next time.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::NoStream { .. } => true,
            Self::Refused { code, .. } => PASSING.contains(code),
            Self::ForeignStream { .. } => false,
        }
    }

    /// The stream is not there.
    #[must_use]
    pub fn is_no_stream(&self) -> bool {
        matches!(self, Self::NoStream { .. })
    }
}
