//! Why a record could not be read or written.

/// JetStream's numbers for what passes by itself: no peers for a stream yet, JetStream
/// unavailable, no resources, a stream offline, an earlier write of the same key in flight.
const PASSING: [u32; 5] = [10005, 10008, 10023, 10118, 10164];

/// Why the state bucket did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// NATS does not answer, or cannot serve at present.
    #[error("NATS did not answer while {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// The client library's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// Another living daemon writes this node's record.
    #[error("another daemon (instance {instance}) at {address} writes the record of this node")]
    Duplicate {
        /// The other daemon.
        instance: String,
        /// Where it is.
        address: String,
    },
    /// The record changed between reading and writing it, and not by another daemon.
    #[error("the node record changed while it was written")]
    Changing,
    /// The bucket's name is taken by something else.
    #[error("the stream {stream} cannot be the state bucket: {why}; rename or remove it")]
    ForeignBucket {
        /// The stream.
        stream: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server does not know how long a record lives.
    #[error("this nats-server cannot forget records by age: use 2.11 or later")]
    ServerTooOld,
    /// A record could not be written as JSON.
    #[error("the node record could not be encoded")]
    Encode(#[source] serde_json::Error),
}

impl KvError {
    /// Worth trying again without a change: NATS may answer next time.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Changing => true,
            Self::Refused { code, .. } => PASSING.contains(code),
            Self::Duplicate { .. }
            | Self::ForeignBucket { .. }
            | Self::ServerTooOld
            | Self::Encode(_) => false,
        }
    }

    /// Somebody else has written the record.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Duplicate { .. })
    }
}
