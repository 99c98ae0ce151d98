//! The fence: one message whose sequence every write names, so that the server refuses the
//! writes of an earlier epoch.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use ccm_types::{Epoch, NodeId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Bucket;
use super::api::code;
use crate::store::{Fence, FenceRecord, StoreError};

/// The publish is refused unless the last message of a subject has this sequence …
const EXPECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
/// … and this is the subject; without it, the publish's own.
const EXPECT_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
const ROLLUP: &str = "Nats-Rollup";
const TTL: &str = "Nats-TTL";
/// What the message says makes no replica go on: watchers need not look.
pub(super) const NO_NEWS: &str = "Ccm-No-News";

/// Attempts while other writers get in between.
const ATTEMPTS: u32 = 20;
/// Between two attempts: grows from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize, Deserialize)]
struct FenceJson {
    epoch: Epoch,
    node: NodeId,
}

/// A move of the fence by this node: one message of the stream in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FenceMoved {
    /// The sequence of the fence before; 0 when there was none.
    pub(super) replaced: u64,
    /// The sequence of the fence since.
    pub(super) sequence: u64,
}

/// What a guarded message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarded {
    /// A new object.
    Object,
    /// A deletion, or a proof of the fence.
    NoNews,
}

/// The next pause of a series.
fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}

impl Bucket {
    /// The fence and the sequence of its message, from the stream's leader.
    pub(super) async fn read_fence(&self) -> Result<Option<(FenceRecord, u64)>, StoreError> {
        let query = json!({ "last_by_subj": self.layout.fence() });
        let read = self.api.message(&self.layout.stream, query).await;
        let Some(message) = read.map_err(|f| self.reading(f, "the fence"))? else {
            return Ok(None);
        };
        let fence: FenceJson = serde_json::from_slice(&message.payload)
            .map_err(|e| self.layout.foreign(format!("its fence cannot be read: {e}")))?;
        let record = FenceRecord { epoch: fence.epoch, node: fence.node };
        Ok(Some((record, message.sequence)))
    }

    /// Moves the fence by compare-and-set on the message read before.
    pub(super) async fn move_fence(
        &self,
        epoch: Epoch,
        node: &NodeId,
    ) -> Result<Fence, StoreError> {
        let what = || format!("moving the fence to epoch {epoch}");
        let body = serde_json::to_vec(&FenceJson { epoch, node: node.clone() })
            .map_err(|e| StoreError::Unavailable { what: what(), source: e.into() })?;
        let body = Bytes::from(body);
        let mut pause = PAUSE_MIN;
        for _ in 0..ATTEMPTS {
            let found = self.read_fence().await?;
            if found.as_ref().is_some_and(|(record, _)| record.refuses(epoch, node)) {
                return Err(StoreError::Fenced { ours: epoch });
            }
            let last = found.map_or(0, |(_, sequence)| sequence);
            let mut headers = HeaderMap::new();
            headers.insert(EXPECT_SEQUENCE, last.to_string());
            headers.insert(ROLLUP, "sub");
            if self.never_expires {
                headers.insert(TTL, "never");
            }
            match self.api.publish(&self.layout.fence(), headers, body.clone()).await {
                Ok(token) => {
                    self.written.note(token, Instant::now());
                    self.uploads.fenced();
                    let moved = FenceMoved { replaced: last, sequence: token };
                    *self.fence_moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(moved);
                    return Ok(Fence { epoch, token });
                }
                Err(failure)
                    if failure.is(code::WRONG_LAST_SEQUENCE)
                        || failure.is(code::GUARD_IN_FLIGHT) =>
                {
                    tokio::time::sleep(pause).await;
                    pause = longer(pause);
                }
                Err(failure) => return Err(failure.writing(what())),
            }
        }
        Err(StoreError::Ambiguous { what: what() })
    }

    /// Publishes under the fence. One such publish is in flight at a time: on a replicated
    /// stream the server refuses a second one until the first is agreed on.
    pub(super) async fn publish_guarded(
        &self,
        fence: Fence,
        subject: &str,
        payload: Bytes,
        kind: Guarded,
        what: impl Fn() -> String,
    ) -> Result<u64, StoreError> {
        let fenced = || Err(StoreError::Fenced { ours: fence.epoch });
        if fence.token == 0 {
            // To the server, 0 means "no message yet": it would pass on a bucket without fence.
            return fenced();
        }
        let busy = |e: tokio::sync::AcquireError| StoreError::Unavailable {
            what: what(),
            source: Box::new(e),
        };
        let _background = match kind {
            Guarded::Object => None,
            Guarded::NoNews => Some(self.background.acquire().await.map_err(busy)?),
        };
        let _one = self.guarded.acquire().await.map_err(busy)?;
        let mut pause = PAUSE_MIN;
        for _ in 0..ATTEMPTS {
            let mut headers = HeaderMap::new();
            headers.insert(EXPECT_SEQUENCE, fence.token.to_string());
            headers.insert(EXPECT_SUBJECT, self.layout.fence());
            headers.insert(ROLLUP, "sub");
            if kind == Guarded::NoNews {
                headers.insert(NO_NEWS, "1");
            }
            let sent = Instant::now();
            match self.api.publish(subject, headers, payload.clone()).await {
                Ok(sequence) => {
                    self.written.note(sequence, Instant::now());
                    self.uploads.stored(sent);
                    return Ok(sequence);
                }
                Err(failure) if failure.is(code::WRONG_LAST_SEQUENCE) => return fenced(),
                Err(failure) if failure.is(code::GUARD_IN_FLIGHT) => {
                    tokio::time::sleep(pause).await;
                    pause = longer(pause);
                }
                Err(failure) => return Err(failure.writing(what())),
            }
        }
        let source = "other guarded writes were in flight all the time".into();
        Err(StoreError::Unavailable { what: what(), source })
    }
}
