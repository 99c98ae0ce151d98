//! `/events`: what was measured once goes to all who watch, as server-sent events.
//!
//! Source: HTML Living Standard, 9.2 Server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::answer::Body;

/// How many may watch at a time. Others who ask the node for something must get through as well.
pub const WATCHERS_MAX: usize = 16;

/// A watcher hears at least so often that the node is there.
const ALIVE_EVERY: Duration = Duration::from_secs(3);

/// A stream ends in order after so long, and the browser asks for the next one: what ends a
/// connection that nobody reads ends no stream in the middle.
const STREAM_LASTS: Duration = Duration::from_secs(540);

/// Where every stream begins: when to ask again, and that the node is there.
const BEGIN: &str = "retry: 1000\nevent: alive\ndata: 1\n\n";

const ALIVE: &str = "event: alive\ndata: 1\n\n";

/// For whoever comes when as many watch as may.
pub(super) const FULL: &str = "retry: 10000\nevent: full\ndata: This node is watched by as many \
                               as it takes: it is tried again every 10 s.\n\n";

/// Takes what was measured to all who watch.
#[derive(Debug)]
pub struct Feed {
    messages: watch::Sender<Bytes>,
    seats: Arc<Semaphore>,
    came: Notify,
    alive_every: Duration,
    stream_lasts: Duration,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            messages: watch::Sender::new(Bytes::new()),
            seats: Arc::new(Semaphore::new(WATCHERS_MAX)),
            came: Notify::new(),
            alive_every: ALIVE_EVERY,
            stream_lasts: STREAM_LASTS,
        }
    }
}

impl Feed {
    /// Somebody begins to watch, with what is told next; `None` when as many watch as may.
    #[must_use]
    pub fn join(&self) -> Option<Watching> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        let messages = self.messages.subscribe();
        self.came.notify_one();
        let until = Instant::now() + self.stream_lasts;
        let alive_every = self.alive_every;
        Some(Watching { messages, alive_every, until, begun: false, _seat: seat })
    }

    /// Returns when somebody watches. Cancel safe.
    pub async fn watched(&self) {
        while self.messages.receiver_count() == 0 {
            self.came.notified().await;
        }
    }

    /// Tells all who watch; `json` is one line. Somebody who reads slowly gets the newest.
    pub fn tell(&self, json: &str) {
        self.messages.send_replace(Bytes::from(format!("event: shown\ndata: {json}\n\n")));
    }
}

/// Somebody who watches, until it is dropped.
#[derive(Debug)]
pub struct Watching {
    messages: watch::Receiver<Bytes>,
    alive_every: Duration,
    until: Instant,
    begun: bool,
    _seat: OwnedSemaphorePermit,
}

impl Watching {
    /// The next message; `None` when the stream ends. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            return Some(Bytes::from_static(BEGIN.as_bytes()));
        }
        let now = Instant::now();
        if now >= self.until {
            return None;
        }
        match timeout_at(now + self.alive_every, self.messages.changed()).await {
            Ok(Ok(())) => Some(self.messages.borrow_and_update().clone()),
            Ok(Err(_)) => None,
            Err(_) => Some(Bytes::from_static(ALIVE.as_bytes())),
        }
    }

    pub(super) fn into_body(self) -> Body {
        let messages = stream::unfold(self, |mut watching| async move {
            let message = watching.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(message)), watching))
        });
        StreamBody::new(messages).boxed_unsync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(watching: &mut Watching) -> Option<String> {
        watching.next().await.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_watcher_hears_what_is_told_after_it_came_and_that_the_node_is_there() {
        let feed = Feed { alive_every: Duration::from_millis(5), ..Feed::default() };
        feed.tell("{\"old\":1}");
        let mut watching = feed.join().unwrap();
        assert_eq!(text(&mut watching).await.as_deref(), Some(BEGIN));
        assert_eq!(text(&mut watching).await.as_deref(), Some(ALIVE));
        feed.tell("{\"a\":1}");
        feed.tell("{\"b\":2}");
        let newest = "event: shown\ndata: {\"b\":2}\n\n";
        assert_eq!(text(&mut watching).await.as_deref(), Some(newest));
        assert_eq!(text(&mut watching).await.as_deref(), Some(ALIVE));
    }

    #[tokio::test]
    async fn a_stream_ends_in_order() {
        let feed = Feed { stream_lasts: Duration::ZERO, ..Feed::default() };
        let mut watching = feed.join().unwrap();
        assert_eq!(text(&mut watching).await.as_deref(), Some(BEGIN));
        assert_eq!(text(&mut watching).await, None);
    }

    #[tokio::test]
    async fn as_many_watch_as_may_and_a_seat_is_given_back() {
        let feed = Feed::default();
        let mut all: Vec<_> = (0..WATCHERS_MAX).map(|_| feed.join().unwrap()).collect();
        assert!(feed.join().is_none());
        all.pop();
        assert!(feed.join().is_some());
        feed.watched().await;
        drop(all);
        assert_eq!(feed.messages.receiver_count(), 0);
    }
}
