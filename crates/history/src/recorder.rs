//! The handle of a daemon: what is recorded is kept in memory at once and published by a task.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Client;
use ccm_types::{ClusterId, Epoch, NodeId};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::kept::{Entry, Recent, Waiting};
use crate::stream::Stream;
use crate::{Event, Filter, HistoryError, RECENT_MAX, Reader, Seen, Start, WAITING_MAX, What};

/// Between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// One wait for what others record.
const LEARN_WITHIN: Duration = Duration::from_secs(60);

/// What has become of what was recorded, since the daemon began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Events in the stream.
    pub published: u64,
    /// Events that were lost, because too many waited or the server will not have them.
    pub dropped: u64,
    /// Events that wait.
    pub waiting: u64,
    /// What was found in the stream and is no event.
    pub ignored: u64,
}

/// The history, as a daemon keeps it. Clones are the same history.
#[derive(Clone)]
pub struct History {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: ClusterId,
    node: NodeId,
    instance: String,
    kept: Mutex<Kept>,
    /// Something waits to be published.
    news: Notify,
    changed: watch::Sender<u64>,
    waiting: watch::Sender<usize>,
    published: AtomicU64,
    dropped: AtomicU64,
    ignored: AtomicU64,
}

struct Kept {
    waiting: Waiting,
    recent: Recent,
    recorded: u64,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("counted", &self.counted()).finish_non_exhaustive()
    }
}

impl History {
    /// Nothing has happened yet. `instance` is unique per run of the daemon.
    #[must_use]
    pub fn new(cluster: ClusterId, node: NodeId, instance: impl Into<String>) -> Self {
        let kept = Kept {
            waiting: Waiting::new(WAITING_MAX),
            recent: Recent::new(RECENT_MAX),
            recorded: 0,
        };
        let shared = Shared {
            cluster,
            node,
            instance: instance.into(),
            kept: Mutex::new(kept),
            news: Notify::new(),
            changed: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
            published: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Records what has happened to this node at this moment. Never waits; also while NATS is
    /// away, or was not reached yet.
    pub fn record(&self, at: Timestamp, epoch: Option<Epoch>, what: &What) {
        let Shared { node, instance, news, changed, waiting, .. } = &*self.shared;
        let event = Event::new(at, node.clone(), epoch, what);
        let fits = {
            let mut kept = self.kept();
            kept.recorded += 1;
            let id = format!("{}-{instance}-{}", node.to_token(), kept.recorded);
            let entry = Entry { id, event };
            kept.recent.insert(entry.clone());
            let fits = kept.waiting.push(entry);
            // With the lock, so that the number told last is the last one.
            waiting.send_replace(kept.waiting.len());
            fits
        };
        if !fits {
            self.dropped_one("too many events wait for NATS");
        }
        changed.send_modify(|count| *count += 1);
        news.notify_one();
    }

    /// The newest events of the whole cluster that this daemon knows of, oldest first: its own at
    /// once, those of others as the stream tells them.
    #[must_use]
    pub fn recent(&self) -> Vec<Event> {
        self.kept().recent.events()
    }

    /// Changes with [`History::recent`].
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// What has become of what was recorded.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let Shared { published, dropped, ignored, waiting, .. } = &*self.shared;
        Counted {
            published: published.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            waiting: *waiting.borrow() as u64,
            ignored: ignored.load(Ordering::Relaxed),
        }
    }

    /// Publishes what is recorded, and learns what other nodes record; for as long as it is
    /// polled. Makes the stream with so many replicas when it is missing.
    pub async fn run(self, client: Client, replicas: usize) {
        tokio::join!(self.publish(client.clone(), replicas), self.learn(client));
    }

    /// Waits until everything that was recorded is in the stream; `false` when that takes longer.
    pub async fn flush(&self, within: Duration) -> bool {
        let mut waiting = self.shared.waiting.subscribe();
        let empty = timeout(within, waiting.wait_for(|length| *length == 0)).await;
        matches!(empty, Ok(Ok(_)))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first(&self) -> Option<Entry> {
        self.kept().waiting.first().cloned()
    }

    /// This event waits no longer.
    fn settle(&self, entry: &Entry) {
        let mut kept = self.kept();
        kept.waiting.settle(&entry.id);
        self.shared.waiting.send_replace(kept.waiting.len());
    }

    fn dropped_one(&self, why: &str) {
        if self.shared.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(%why, "an event of the history is lost; later ones are only counted");
        }
    }

    async fn publish(&self, client: Client, replicas: usize) {
        let stream = Stream::at(client, &self.shared.cluster);
        let mut trouble = Trouble::default();
        let mut there = false;
        loop {
            if !there {
                match stream.ensure(replicas).await {
                    Ok(()) => there = true,
                    Err(error) => {
                        trouble.say(&error);
                        sleep(RETRY).await;
                        continue;
                    }
                }
            }
            let Some(entry) = self.first() else {
                self.shared.news.notified().await;
                continue;
            };
            match self.put(&stream, &entry).await {
                Ok(()) => {
                    trouble = Trouble::default();
                    self.settle(&entry);
                    self.shared.published.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.is_transient() => {
                    there = !error.is_no_stream();
                    trouble.say(&error);
                    sleep(RETRY).await;
                }
                Err(error @ HistoryError::ForeignStream { .. }) => {
                    there = false;
                    trouble.say(&error);
                    sleep(RETRY).await;
                }
                Err(error) => {
                    self.settle(&entry);
                    self.dropped_one(&in_words(&error));
                }
            }
        }
    }

    async fn put(&self, stream: &Stream, entry: &Entry) -> Result<(), HistoryError> {
        let payload = serde_json::to_vec(&entry.event).unwrap_or_default();
        stream.put(entry.event.subject(stream.subject()), &entry.id, payload).await
    }

    /// Takes in what is in the stream, and what comes.
    async fn learn(&self, client: Client) {
        let reader = Reader::new(client, &self.shared.cluster);
        let mut follow = reader.follow(Filter::default(), Start::Newest(RECENT_MAX));
        loop {
            match follow.next(LEARN_WITHIN).await {
                Ok(Some(Seen { id, event })) => {
                    let news = self.kept().recent.insert(Entry { id, event });
                    if news {
                        self.shared.changed.send_modify(|count| *count += 1);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "what other nodes record is not known at present");
                    sleep(RETRY).await;
                }
            }
            self.shared.ignored.store(follow.ignored(), Ordering::Relaxed);
        }
    }
}

/// What was said of what is in the way.
#[derive(Debug, Default)]
struct Trouble {
    said: Option<String>,
}

impl Trouble {
    /// WARN only for what does not pass by itself, once.
    fn say(&mut self, error: &HistoryError) {
        let problem = in_words(error);
        if error.is_transient() {
            tracing::debug!(%problem, "the history is not recorded in NATS yet");
        } else if self.said.as_ref() != Some(&problem) {
            tracing::warn!(%problem, "the history is kept in memory only");
            self.said = Some(problem);
        }
    }
}

fn in_words(error: &HistoryError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
