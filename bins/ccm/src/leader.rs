//! Who leads, as the lease record in NATS says.

use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use async_nats::Client;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use ccm_election::LeaseRecord;
use ccm_types::{ClusterId, Epoch, NodeId};

use crate::exit::{Exit, Failure};

/// How long NATS may take to answer one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The lease record.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    record: LeaseRecord,
    /// How long ago it was renewed, by the clocks of NATS and of this host.
    age: Duration,
}

impl Lease {
    /// The leader; `None` when it has released the lease.
    pub(crate) fn leader(&self) -> Option<&NodeId> {
        (!self.record.released).then_some(&self.record.node_id)
    }

    /// The epoch of the last leadership.
    pub(crate) fn epoch(&self) -> Epoch {
        self.record.epoch
    }

    /// When this leadership began, RFC 3339; `None` when nobody leads.
    pub(crate) fn since(&self) -> Option<&str> {
        (!self.record.released).then_some(self.record.acquired_at.as_str())
    }

    /// The leader in words: who, and for how long it has been silent if that is long.
    pub(crate) fn in_words(&self) -> String {
        let Some(leader) = self.leader() else { return String::from("(none)") };
        if self.age.as_millis() > u128::from(self.record.ttl_ms) {
            return format!("{leader} (silent for {} s)", self.age.as_secs());
        }
        leader.to_string()
    }
}

/// Reads the record from the stream's leader; `None` when nobody has ever led.
pub(crate) async fn read(client: &Client, cluster: &ClusterId) -> Result<Option<Lease>, Failure> {
    let bucket = cluster.election_bucket();
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(ANSWER_WITHIN);
    let stream = jetstream
        .get_stream_no_info(format!("KV_{bucket}"))
        .await
        .map_err(|error| unreadable(&bucket, error))?;
    let subject = format!("$KV.{bucket}.leader");
    let message = match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => message,
        Err(error) if is_absent(&error.kind()) => return Ok(None),
        Err(error) => return Err(unreadable(&bucket, error)),
    };
    let record = serde_json::from_slice(&message.payload).map_err(|error| {
        let error = anyhow!(error).context(format!("the key leader of {bucket} is not a lease"));
        Failure::new(Exit::Internal, error)
    })?;
    let age = SystemTime::now().duration_since(message.time.into()).unwrap_or_default();
    Ok(Some(Lease { record, age }))
}

/// Neither bucket nor key is there.
fn is_absent(kind: &LastRawMessageErrorKind) -> bool {
    match kind {
        LastRawMessageErrorKind::NoMessageFound => true,
        LastRawMessageErrorKind::JetStream(error) => {
            error.error_code() == ErrorCode::STREAM_NOT_FOUND
        }
        LastRawMessageErrorKind::InvalidSubject | LastRawMessageErrorKind::Other => false,
    }
}

fn unreadable(bucket: &str, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    let what = format!(
        "could not read who leads from the bucket {bucket}: NATS is there, but JetStream does not \
         answer; see `nats server report jetstream`"
    );
    Failure::new(Exit::NatsUnreachable, anyhow!(error).context(what))
}
