//! When to look again: a consumer that the server feeds after it has stored new metadata.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::{StatusCode, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Bucket;
use super::api::Failure;
use super::fence::NO_NEWS;

/// The server shows at this pace that the consumer is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// After so much silence the consumer is gone: it lives in a server's memory.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// The server forgets the consumer of a client that is gone.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// One consumer.
#[derive(Debug)]
struct Watch {
    messages: Subscriber,
    heard: Instant,
    /// Connections made when it was created: it may have missed something on the next one.
    connects: u64,
}

/// What one user of `changed` has been told.
#[derive(Debug, Default)]
pub(super) struct WatchSlot {
    called: AtomicBool,
    watch: Mutex<Option<Watch>>,
}

/// A watch taken out of its slot; goes back when the wait ends or is dropped.
struct Taken<'a> {
    slot: &'a WatchSlot,
    watch: Option<Watch>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.slot.watch.lock().unwrap_or_else(PoisonError::into_inner) = self.watch.take();
    }
}

impl Bucket {
    /// Completes when the bucket may have changed since the last call, or after `at_most`.
    pub(super) async fn changed(&self, slot: &WatchSlot, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        let first = !slot.called.swap(true, Ordering::Relaxed);
        let watch = slot.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut taken = Taken { slot, watch };
        let connects = self.api.connects();
        if taken.watch.as_ref().is_none_or(|w| w.connects != connects) {
            taken.watch = None;
            match timeout_at(deadline, self.watch(connects)).await {
                Ok(Ok(watch)) => taken.watch = Some(watch),
                Ok(Err(failure)) => {
                    tracing::debug!(?failure, "no news from the bucket: polling");
                    if !first {
                        sleep_until(deadline).await;
                    }
                }
                Err(_) => {}
            }
            return;
        }
        let alive = match &mut taken.watch {
            Some(watch) => wait(watch, deadline).await,
            None => false,
        };
        if !alive {
            taken.watch = None;
        }
    }

    async fn watch(&self, connects: u64) -> Result<Watch, Failure> {
        self.api.check_connected()?;
        let client = &self.api.client;
        let inbox = client.new_inbox();
        let messages =
            client.subscribe(inbox.clone()).await.map_err(|e| Failure::NotSent(e.into()))?;
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let request = json!({
            "stream_name": self.layout.stream,
            "config": {
                "deliver_subject": inbox,
                "deliver_policy": "new",
                "ack_policy": "none",
                "replay_policy": "instant",
                "filter_subject": self.layout.all_metas(),
                "headers_only": true,
                "idle_heartbeat": nanos(HEARTBEAT),
                "inactive_threshold": nanos(FORGET_AFTER),
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
        let operation = format!("CONSUMER.CREATE.{}", self.layout.stream);
        let _created: serde_json::Value = self.api.call(&operation, &request).await?;
        Ok(Watch { messages, heard: Instant::now(), connects })
    }
}

/// Deletions make no replica go on; whoever lists for another reason sees them.
fn is_news(message: &async_nats::Message) -> bool {
    message.headers.as_ref().is_none_or(|headers| headers.get(NO_NEWS).is_none())
}

/// Waits for news; `false` when the watch is of no use any more, which is news too.
async fn wait(watch: &mut Watch, deadline: Instant) -> bool {
    loop {
        let silent_at = watch.heard + SILENCE_MAX;
        match timeout_at(deadline.min(silent_at), watch.messages.next()).await {
            Ok(Some(message)) => {
                watch.heard = Instant::now();
                if message.status != Some(StatusCode::IDLE_HEARTBEAT) && is_news(&message) {
                    // One look covers all that has come meanwhile.
                    while let Some(Some(_)) = watch.messages.next().now_or_never() {}
                    return true;
                }
            }
            Ok(None) => return false,
            Err(_) => return Instant::now() < silent_at,
        }
    }
}
