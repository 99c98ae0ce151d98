//! Why an election could not be opened.

use crate::TimingError;

/// Opening the bucket of the lease failed; nothing was claimed.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// The numbers do not fit together.
    #[error("the timing of the lease does not fit")]
    Timing(#[source] Box<TimingError>),
    /// The name cannot be one of a bucket.
    #[error("'{0}' is not a bucket name: use letters, digits, '-' and '_'")]
    BucketName(String),
    /// NATS did not do what was asked, or not in time.
    #[error(
        "{what} in bucket {bucket} failed: check that NATS is up with JetStream and that the \
         credentials may use the bucket"
    )]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// On which bucket.
        bucket: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is something else under the bucket's name.
    #[error(
        "bucket {bucket} is not a bucket of a lease: {why}; use another cluster id, or remove the \
         bucket if nothing needs it"
    )]
    ForeignBucket {
        /// Which bucket.
        bucket: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ElectionError {
    /// Whether the same call may succeed later without anybody changing anything here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Timing(_) | Self::BucketName(_) | Self::ForeignBucket { .. } => false,
        }
    }
}
