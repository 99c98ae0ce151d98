//! Why records could not be read or written.

/// JetStream's numbers for what passes by itself: no peers for a stream yet, JetStream
/// unavailable, no resources, a stream offline.
const PASSING: [u32; 4] = [10005, 10008, 10023, 10118];

/// Why the services bucket did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// NATS does not answer, or cannot serve at present.
    #[error("NATS did not answer while {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// The client library's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// NATS answers, but nobody has the bucket: it was removed, or JetStream is off.
    #[error("nobody has the bucket {bucket} while {what}: see `nats server report jetstream`")]
    NoBucket {
        /// The bucket.
        bucket: String,
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
    /// The bucket's name is taken by something else.
    #[error("the stream {stream} cannot be the services bucket: {why}; rename or remove it")]
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
    #[error("the service record could not be encoded")]
    Encode(#[source] serde_json::Error),
}

impl DiscoveryError {
    /// Worth trying again without a change: NATS may answer next time.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::NoBucket { .. } => true,
            Self::Refused { code, .. } => PASSING.contains(code),
            Self::ForeignBucket { .. } | Self::ServerTooOld | Self::Encode(_) => false,
        }
    }

    /// The bucket is not there.
    #[must_use]
    pub fn is_no_bucket(&self) -> bool {
        matches!(self, Self::NoBucket { .. })
    }
}
